"""What every command says of itself, and how bad usage is answered."""

from __future__ import annotations

import re

import pytest
import typer.main

from meshport import __version__
from meshport.cli import app
from tests.cli.running import Run

VERBS = sorted(name for name, each in typer.main.get_command(app).commands.items() if not hasattr(each, "commands"))  # type: ignore[attr-defined] # it is a group
DESIGNED = {"init", "new", "check", "apply", "up", "demo", "run", "publish", "tail", "replay", "resolve", "search"}


def test_the_designed_verbs_are_there() -> None:
    """The verbs of the design that belong to this version exist under their names."""
    assert set(VERBS) >= DESIGNED


@pytest.mark.parametrize("verb", [[verb] for verb in VERBS] + [["registry", "serve"]], ids=" ".join)
def test_help_shows_an_example(cli: Run, verb: list[str]) -> None:
    """The help of each verb has an example that begins with the command itself, and describes each of its options."""
    ended = cli(*verb, "--help")
    assert ended.code == 0
    assert re.search(r"Examples?:\s+meshport " + " ".join(verb), ended.out)
    assert ended.err == ""


def test_help_without_a_verb(cli: Run) -> None:
    """`meshport` alone and with `-h` lists the verbs; `--version` is one line."""
    for asked in ([], ["-h"], ["--help"]):
        shown = cli(*asked)
        assert all(verb in shown.out + shown.err for verb in VERBS)
    assert cli("--version").out == f"meshport {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["tail"], "Missing argument 'ADDRESS'"),
        (["publish", "a/b"], "Missing option '--from'"),
        (["tail", "a/b", "--limit", "0"], "--limit"),
        (["up", "--brokers", "4"], "--brokers"),
        (["replay", "a/b", "--from", "foo"], "'foo' is no time"),
        (["replay", "a/b", "--to", "offset:x"], "'x' is no offset"),
        (["replay", "a/b", "--to", "offset:1=2=3"], "'1=2=3' is no offset"),
        (["replay", "a/b", "--to", "offset:1=2,"], "'' is no offset"),
        (["publish", "a/b", "--from", "x.jsonl", "--on-error", "ignore"], "'ignore'"),
    ],
)
def test_bad_usage_is_2(cli: Run, arguments: list[str], told: str) -> None:
    """Bad usage ends with 2, says what is wrong on stderr, and leaves stdout empty."""
    ended = cli(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert told in " ".join(ended.err.replace("│", " ").split())


@pytest.mark.parametrize("verb", ["resolve", "tail", "replay", "readers"])
def test_a_bad_address_is_2(cli: Run, verb: str) -> None:
    """An address that is none ends with 2 and with what would be right, before anybody is asked."""
    ended = cli(verb, "Player/plays", "--registry", "http://127.0.0.1:1")
    assert (ended.code, ended.out) == (2, "")
    assert "error: the domain 'Player'" in ended.err
    assert "hint: did you mean 'player'?" in ended.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["resolve", "a/b"],
        ["tail", "a/b"],
        ["replay", "a/b"],
        ["search"],
        ["readers", "a/b"],
        ["publish", "a/b", "--from", "-"],
    ],
    ids=lambda arguments: str(arguments[0]),
)
def test_a_registry_that_does_not_answer_is_3(cli: Run, arguments: list[str]) -> None:
    """No registry named, and one that does not answer, end with 3 and with what to do; the flag wins over the environment."""
    nobody = cli(*arguments)
    assert (nobody.code, nobody.out) == (3, "")
    assert "no registry was named, and no mesh runs here" in nobody.err
    assert "MESHPORT_REGISTRY" in nobody.err
    silent = cli(*arguments, "--registry", "http://127.0.0.1:1", MESHPORT_REGISTRY="http://127.0.0.1:2")
    assert (silent.code, silent.out) == (3, "")
    assert "the registry at http://127.0.0.1:1 did not answer" in silent.err
    named = cli(*arguments, MESHPORT_REGISTRY="http://127.0.0.1:2")
    assert named.code == 3
    assert "the registry at http://127.0.0.1:2 did not answer" in named.err
