"""`meshport new ADDRESS --major`: a contract broken on purpose, beside the one that readers know."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from meshport.product import load_product
from meshport.product.lines import utc_today
from tests.cli.running import Run, process
from tests.gate.repositories import git
from tests.waiting import PATIENCE_S

CONTRACT = "schemas/shop/orders.events.v2.avsc"
DESCRIPTOR = "producers/shop/orders/product.yaml"


@pytest.fixture
def shop(cli: Run) -> Run:
    """A project with one product."""
    assert cli("init").code == 0
    assert cli("new", "shop/orders").code == 0
    return cli


def test_the_command_by_itself_says_what_it_wrote_and_what_comes_next(shop: Run, tmp_path: Path) -> None:
    """Run as its users do: both files are named on stderr, then who has to do what, and by which day."""
    assert shop("check").code == 0
    before = utc_today()
    ran = process("new", "shop/orders", "--major", cwd=tmp_path)
    out, err = (each.decode() for each in ran.communicate(timeout=PATIENCE_S))
    assert (ran.returncode, out) == (0, "")
    days = [before, utc_today()]  # midnight may have passed
    live, end = ([(each + timedelta(days=count)).isoformat() for each in days] for count in (30, 90))
    assert f"wrote {CONTRACT}: a copy of shop/orders/events@1" in err
    told = f"wrote {DESCRIPTOR}: shop/orders/events@2 is live from {{}} on, shop/orders/events@1 is to be left by {{}}"
    assert any(told.format(*each) in err for each in zip(live, end, strict=True))
    for step in (
        "meshport gate check",
        "publish to both, shop/orders/events@1 and",
        "move by naming shop/orders/events@2",
    ):
        assert step in err.partition("next:")[2]
    checked = shop("check")
    assert checked.code == 0
    assert "shop/orders: source-aligned, 2 ports" in checked.err


def test_the_days_are_those_that_were_given(shop: Run, tmp_path: Path) -> None:
    """Both days go into product.yaml as they were typed."""
    assert (
        shop("new", "shop/orders/events", "--major", "--live-from", "2999-01-01", "--deprecate", "2999-06-01").code == 0
    )
    old, new = load_product(tmp_path / DESCRIPTOR).output_ports
    assert (str(old.deprecated_on), str(new.live_from)) == ("2999-06-01", "2999-01-01")


def test_a_process_is_told_that_it_writes_one_line(shop: Run) -> None:
    """A derived product's process writes the live line; the command reports it, since no process writes the other one."""
    assert shop("new", "sales/orders", "--from", "shop/orders", "--where", "id != ''").code == 0
    ended = shop("new", "sales/orders", "--major")
    assert ended.code == 0
    assert "its process writes one line, that which is live when it starts: sales/orders/events@1" in ended.err
    assert "publish to both" not in ended.err
    assert shop("check").code == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["shop/order", "--major"], "did you mean shop/orders?"),
        (["shop/orders", "--major", "--sample", "x.jsonl"], "a new major begins as a copy"),
        (["shop/orders", "--major", "--from", "a/b"], "Invalid value for --from"),
        (["shop/orders", "--major", "--key", "id"], "Invalid value for --key"),
        (["shop/orders", "--major", "--owner", "me"], "Invalid value for --owner"),
        (["shop/orders", "--major", "--live-from", "2020-01-01"], "would move every reader"),
        (["shop/orders", "--major", "--live-from", "soon"], "is no day"),
        (
            ["shop/orders", "--major", "--live-from", "2999-06-01", "--deprecate", "2999-01-01"],
            "should have left events@1",
        ),
        (["shop/new", "--live-from", "2999-01-01"], "a new product has one line"),
        (["shop/new", "--deprecate", "2999-01-01"], "Invalid value for --deprecate"),
    ],
)
def test_what_does_not_go_together_is_refused(shop: Run, tmp_path: Path, arguments: list[str], told: str) -> None:
    """Every refusal ends with 2 and a hint, and writes nothing."""
    before = (tmp_path / DESCRIPTOR).read_bytes()
    ended = shop("new", *arguments)
    assert ended.code == 2
    assert told in " ".join(ended.err.replace("│", " ").split())
    assert (tmp_path / DESCRIPTOR).read_bytes() == before
    assert not (tmp_path / CONTRACT).exists()


def test_help_says_where_a_producer_writes(cli: Run) -> None:
    """`new --help` explains how a producer publishes to both lines, and what the bare address means meanwhile."""
    text = " ".join(cli("new", "--help").out.split())
    assert "publishes to both, each by its own address" in text
    assert "go to the live line" in text


def changed(root: Path, **field: str) -> dict[str, Any]:
    """Change the first field of the contract of the first line, and return the contract as it was."""
    file = root / "schemas/shop/orders.events.avsc"
    form = json.loads(file.read_text(encoding="utf-8"))
    was = json.loads(json.dumps(form))
    form["fields"][0] |= field
    file.write_text(json.dumps(form), encoding="utf-8")
    return dict(was)


def test_a_broken_contract_moves_to_the_new_line(shop: Run, tmp_path: Path) -> None:
    """What the gate advises for a change that breaks: the new line takes it, and the line that is known is set back.

    The gate then passes, and a second call writes no third line.
    """
    for command in (["init", "--initial-branch=main"], ["add", "."], ["commit", "--message=orders"]):
        git(tmp_path, *command)
    was = changed(tmp_path, type="long")
    refused = shop("gate", "check", "--against", "HEAD")
    assert refused.code == 1
    assert "meshport new shop/orders/events --major" in " ".join(refused.out.split())
    made = shop("new", "shop/orders/events", "--major")
    assert made.code == 0, made.err
    assert f"wrote {CONTRACT}: the contract of shop/orders/events@1 as you changed it" in made.err
    assert "orders.events.avsc: set back to what the readers of shop/orders/events@1 know" in made.err
    first = json.loads((tmp_path / "schemas/shop/orders.events.avsc").read_text(encoding="utf-8"))
    second = json.loads((tmp_path / CONTRACT).read_text(encoding="utf-8"))
    assert [each["fields"][0]["type"] for each in (was, first, second)] == ["string", "string", "long"]
    passes = shop("gate", "check", "--against", "HEAD")
    assert passes.code == 0, passes.out
    before = (tmp_path / DESCRIPTOR).read_bytes()
    again = shop("new", "shop/orders/events", "--major")
    assert again.code == 2
    assert "mesh://shop/orders/events@2 is written already, and no reader knows it yet" in again.err
    assert f"its contract is {CONTRACT}" in again.err
    assert (tmp_path / DESCRIPTOR).read_bytes() == before


def test_a_changed_key_is_set_back_before_a_new_line_takes_it(shop: Run, tmp_path: Path) -> None:
    """The entry in product.yaml has comments and an order of its own, so the command says what to write."""
    for command in (["init", "--initial-branch=main"], ["add", "."], ["commit", "--message=orders"]):
        git(tmp_path, *command)
    file = tmp_path / DESCRIPTOR
    file.write_text(file.read_text(encoding="utf-8").replace("- name: events", "- name: events\n  key: id"))
    ended = shop("new", "shop/orders", "--major")
    assert ended.code == 2
    assert "mesh://shop/orders/events@1 is not declared as its readers know it, in key" in ended.err
    assert "set it back first, with `key: null`" in ended.err


def test_no_third_line_is_written_where_no_reader_is_known(shop: Run) -> None:
    """Without a registry and git, a line that is still a copy and not live yet is the one to change."""
    assert shop("new", "shop/orders", "--major").code == 0
    ended = shop("new", "shop/orders", "--major")
    assert ended.code == 2
    assert "is written already" in ended.err
