"""The help of every command, and the answer to bad usage."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from meshport import __version__
from meshport.cli import VERBS as LISTED
from meshport.cli import load_verb
from tests.cli.running import Run

VERBS = sorted(name for name in LISTED if name not in {"gate", "policy", "registry"})
DESIGNED = {"init", "new", "check", "apply", "up", "demo", "run", "publish", "tail", "replay", "resolve", "search"}


def test_the_designed_verbs_are_there() -> None:
    """The verbs of the design that belong to this version exist under their names."""
    assert set(VERBS) >= DESIGNED


@pytest.mark.parametrize("verb", LISTED)
def test_the_list_says_what_the_help_says(verb: str) -> None:
    """The line of a command in the list of all is the first line of its own help, though it is listed without an import."""
    assert LISTED[verb].summary == load_verb(verb).help.strip().partition("\n\n")[0].replace("\n", " ")


def test_the_list_imports_no_command() -> None:
    """`meshport --help` loads neither the Kafka client, nor the HTTP client, nor the models of the library."""
    code = "import sys\nfrom meshport.cli import app\ntry:\n app(['--help'])\nexcept SystemExit:\n print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {
        "confluent_kafka",
        "httpx2",
        "pydantic",
        "pyarrow",
        "faust",
        "meshport.kafka",
        "meshport.process",
    }


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        (["up"], "by default an embedded one is started"),
        (["demo"], "by default an embedded one is started"),
        (["apply"], "The Kafka in which topics are created; by default the one that `meshport up` runs here."),
        (["registry", "serve"], "it does not connect"),
    ],
    ids=lambda verb: str(verb[-1]),
)
def test_the_help_of_kafka_says_what_it_does(cli: Run, verb: list[str], told: str) -> None:
    """`--kafka` names the cluster to run on, to create topics in, or to name to clients: each help text states which."""
    shown = " ".join(cli(*verb, "--help", COLUMNS="200", TERMINAL_WIDTH="200").out.replace("│", " ").split())
    assert told in shown


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
    """Bad usage ends with 2, reports the error on stderr, and leaves stdout empty."""
    ended = cli(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert told in " ".join(ended.err.replace("│", " ").split())


@pytest.mark.parametrize("verb", ["resolve", "tail", "replay", "readers"])
def test_a_bad_address_is_2(cli: Run, verb: str) -> None:
    """An invalid address ends with 2 and a suggestion, before the registry is asked."""
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
        ["export", "--format", "asyncapi"],
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
