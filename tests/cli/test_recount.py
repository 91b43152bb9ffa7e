"""`meshport recount` on a running mesh."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.running import Run, on, process
from tests.mesh_session import Mesh
from tests.waiting import PATIENCE_S, wait_for

pytestmark = pytest.mark.kafka
RECOUNT = """\
def recount(sources):
    (orders,) = sources.values()
    totals = {}
    for each in orders:
        totals[each.data["customer"]] = totals.get(each.data["customer"], 0) + each.data["cents"]
    return [{"customer": name, "cents": cents} for name, cents in totals.items()]
"""


def rows(folder: Path, count: int) -> str:
    """Write a file of this many orders, and return its name."""
    lines = ({"customer": f"c{number % 3}", "cents": number, "at": "2026-03-01T12:00:00Z"} for number in range(count))
    (folder / "orders.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    return "orders.jsonl"


def test_a_product_is_compared_once_its_processor_is_through(cli: Run, mesh: Mesh, tmp_path: Path) -> None:
    """Exit code 0 where it equals its recount, 1 with the differences where not, 2 with what waits where that stays."""
    domain, where = f"d{uuid4().hex[:8]}", on(mesh)
    orders, totals = f"{domain}/orders", f"{domain}/totals"
    assert cli("init").code == 0
    sample = rows(tmp_path, 9)
    assert cli("new", orders, "--sample", sample, "--key", "customer", "--time", "at").code == 0
    assert cli("new", totals, "--from", orders, "--by", "customer", "--value", "cents=sum(cents)").code == 0
    assert cli("apply", "--kafka", mesh.bootstrap_servers, **where).code == 0
    assert cli("publish", orders, "--from", sample, **where).code == 0
    file = tmp_path / "processors" / domain / "totals" / "recount.py"
    file.write_text(RECOUNT)
    with process("run", totals, cwd=tmp_path, **where) as processor:
        wait_for(lambda: cli("recount", "--json", **where).code == 0, "the recount to agree")
        ended = cli("recount", totals, "--json", **where)
        (verdict,) = ended.lines
        assert (verdict["agrees"], verdict["expected"], verdict["found"], verdict["wrong"]) == (True, 3, 3, 0)
        assert f"{totals}: 3 records, equals the recount" in ended.err
        file.write_text(RECOUNT.replace("cents in totals.items()", "cents in sorted(totals.items())[1:]"))
        other = cli("recount", "--json", **where)
        assert (other.code, other.lines[0]["wrong"]) == (1, 1)
        assert "c0: should not be there" in other.err
        processor.terminate()
        processor.communicate(timeout=PATIENCE_S)
    assert cli("publish", orders, "--from", rows(tmp_path, 4), **where).code == 0
    waiting = cli("recount", "--wait", "1", **where)
    assert waiting.code == 2
    assert f"and events still wait: 4 of {totals}" in waiting.err
