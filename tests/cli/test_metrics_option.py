"""Commands that run for long serve metrics and probes."""

from __future__ import annotations

import json
import re
import threading
import urllib.error
import urllib.request
from urllib.request import ProxyHandler, build_opener

import pytest

from meshport.cli import VERBS, grants, load_verb
from tests.cli.running import Run
from tests.mesh_session import Mesh
from tests.waiting import wait_for

LONG = {
    "archive run",
    "observe",
    "registry relay",
    "run",
    "publish",
    "tail",
    "relay",
    "rebuild",
    "access enforce",
    "registry serve",
    "up",
    "demo",
}
_HTTP = build_opener(ProxyHandler({}))


def test_commands_that_run_for_long_take_the_option() -> None:
    """Each of them, and no other: what ends by itself within moments is not scraped."""
    found = set()
    for verb in VERBS:
        command = load_verb(verb)
        members = {f"{verb} {name}": each for name, each in getattr(command, "commands", {}).items()} | {verb: command}
        found |= {name for name, each in members.items() if any(one.name == "metrics" for one in each.params)}
    assert found == LONG


def ready(url: str) -> tuple[int, list[dict[str, object]]]:
    """Status and parts of an answer of `/ready`."""
    try:
        with _HTTP.open(f"{url}/ready") as answer:
            return answer.status, json.load(answer)["parts"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["parts"]


def test_access_enforce_is_ready_once_grants_are_carried_out(
    cli: Run, in_memory_mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says where it serves its metrics, and its part is ready after the first look."""
    stopped = threading.Event()
    monkeypatch.setattr(grants, "stop_on_signal", lambda: stopped)
    said: list[str] = []
    monkeypatch.setattr("meshport.cli.metrics.say", said.append)
    found: list[tuple[int, list[dict[str, object]]]] = []

    def watch() -> None:
        try:
            wait_for(lambda: bool(said), "the URL")
            (url,) = re.findall(r"http://\S+(?=/metrics)", said[0])
            wait_for(lambda: ready(url)[0] == 200, "a ready process")
            found.append(ready(url))
        finally:
            stopped.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    ended = cli("access", "enforce", "--registry", in_memory_mesh.url, "--kafka", "127.0.0.1:9", "--metrics", "0")
    watcher.join()
    assert ended.code == 0, ended.err
    ((status, (part,)),) = found
    assert (status, part["name"], part["ready"]) == (200, "access enforce", True)
