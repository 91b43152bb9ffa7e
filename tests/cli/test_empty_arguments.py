"""An argument that is empty, as a variable that is not set leaves it, ends a command with an error that people can read."""

from __future__ import annotations

from meshport.cli.output import FINDINGS, USAGE
from tests.cli.running import Run
from tests.cli.test_canaries import ALL
from tests.mesh_session import Mesh

# They run until they are interrupted, or read the terminal; an empty folder is the working directory.
OTHERS = {"up", "demo", "registry serve", "login", "init", "registry export"}
MORE = {
    "registry key create": ["billing/invoices", "--group", "billing"],
    "gate waive": [*ALL["gate waive"], "--approver", "ada"],
}


def test_an_empty_argument_is_wrong_usage(cli: Run, in_memory_mesh: Mesh) -> None:
    """Each argument of each command, one at a time: an error, and the exit code of a wrong usage or of what is not found."""
    mesh = {"MESHPORT_REGISTRY": in_memory_mesh.url, "MESHPORT_KAFKA": in_memory_mesh.bootstrap_servers}
    for name, given in {**ALL, **MORE}.items():
        words = [in_memory_mesh.url if each == "PEER" else each for each in given]
        for index, word in enumerate(words):
            if word.startswith("--") or name in OTHERS:
                continue
            ended = cli(*name.split(), *words[:index], "", *words[index + 1 :], **mesh)
            assert ended.code in {FINDINGS, USAGE}, (name, words, index, ended.err)
            assert ended.err, (name, words, index)


def test_the_argument_is_named(cli: Run, in_memory_mesh: Mesh) -> None:
    """What a model of the registry's API refuses is said by the argument's name, before the registry is asked."""
    empty = cli("registry", "key", "create", "", "--registry", "http://127.0.0.1:1")
    assert empty.code == USAGE
    assert "Invalid value for NAME: '': String should have at least 1 character" in empty.err
    long = cli("registry", "key", "create", "a", "--group", "g" * 300, "--registry", in_memory_mesh.url)
    assert long.code == USAGE
    assert "--group" in long.err
