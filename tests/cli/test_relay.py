"""`meshport relay` and `meshport relay status`."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from meshport.cli import relay as command
from tests.cli.running import Run
from tests.mesh_session import Mesh
from tests.outbox.shop import Shop, published
from tests.waiting import wait_for

NOWHERE = "http://127.0.0.1:1"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A SQLite with an outbox."""
    return Shop.create(f"sqlite:///{tmp_path / 'shop.db'}")


def test_the_command_publishes_until_it_is_stopped(
    cli: Run, shop: Shop, in_memory_mesh: Mesh, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the database from a variable, serves its metrics where it is asked to, and ends with 0."""
    binding = in_memory_mesh.product()
    ids = shop.emit(binding, [("a", 1), ("a", 2)])
    stopped = threading.Event()
    monkeypatch.setattr(command, "stop_on_signal", lambda: stopped)

    def stop() -> None:
        wait_for(lambda: not shop.waiting, "the rows to be published")
        stopped.set()

    watch = threading.Thread(target=stop)
    watch.start()
    ended = cli("relay", "--registry", in_memory_mesh.url, "--metrics", "0", MESHPORT_OUTBOX_DATABASE=shop.url)
    stopped.set()
    watch.join()
    assert (ended.code, ended.out) == (0, "")
    assert "metrics at http://127.0.0.1:" in ended.err
    assert published(binding) == {"a": ids}


def test_status_shows_what_waits_and_what_blocks_it(cli: Run, shop: Shop, in_memory_mesh: Mesh) -> None:
    """It ends with 0 while nothing is blocked, then with 1 and a row for each blocked aggregate."""
    shop.emit(in_memory_mesh.product(), [("a", 1), ("b", 1), ("b", 2)])
    waiting = cli("relay", "status", "--database", shop.url)
    assert waiting.code == 0
    assert "3 events wait" in waiting.err
    assert "no relay publishes this outbox" in waiting.err
    shop.ask("UPDATE outbox SET error = 'it is too large' WHERE aggregateid = 'b'")
    blocked = cli("relay", "status", "--database", shop.url)
    assert blocked.code == 1
    assert "1 aggregates are blocked, with 2 events" in blocked.err
    assert "it is too large" in blocked.out
    as_json = cli("relay", "status", "--database", shop.url, "--json")
    state, row = (json.loads(line) for line in as_json.out.splitlines())
    assert (as_json.code, state["waiting"], state["blocked"], state["relays"]) == (1, 3, 2, [])
    assert (row["number"], row["aggregateid"], row["waiting"], row["error"]) == (2, "b", 2, "it is too large")


@pytest.mark.parametrize(
    ("database", "code", "shown"),
    [
        ("", 2, "MESHPORT_OUTBOX_DATABASE"),
        ("mysql://shop", 3, "an outbox cannot be in mysql"),
        ("sqlite:///none.db", 3, "unable to open database file"),
        ("postgresql://u:${env:NONE}@127.0.0.1/shop", 2, "${env:NONE} leads to a variable that is not set"),
    ],
)
@pytest.mark.parametrize("verb", [["relay", "--registry", NOWHERE], ["relay", "status"]], ids=lambda verb: verb[-1])
def test_a_database_that_cannot_be_used_is_named(
    cli: Run, verb: list[str], database: str, code: int, shown: str
) -> None:
    """The exit code tells a wrong command line from a database that does not answer."""
    ended = cli(*verb, MESHPORT_OUTBOX_DATABASE=database)
    assert ended.code == code
    assert shown in " ".join(ended.err.replace("│", " ").split())


def test_create_makes_the_table_of_an_outbox(cli: Run, tmp_path: Path) -> None:
    """Once or twice, in a file that need not be there; `--sql` prints what it would run in the other database."""
    url = f"sqlite:///{tmp_path / 'new.db'}"
    for _ in range(2):
        made = cli("outbox", "create", "--database", url)
        assert (made.code, made.out) == (0, "")
    assert cli("relay", "status", "--database", url).code == 0
    printed = cli("outbox", "create", "--sql", "postgresql")
    assert (printed.code, printed.out.startswith("CREATE TABLE IF NOT EXISTS meshport_outbox")) == (0, True)
