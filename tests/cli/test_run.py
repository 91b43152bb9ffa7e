"""`meshport run`: what it refuses before anything is started."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.running import Run


def test_a_name_is_for_members_only(cli: Run, tmp_path: Path) -> None:
    """`--member` for what has no members with names, a source or a processor on faust, is refused with the reason.

    The variable is not refused: what runs each process under a name of its own, such as Kubernetes, need not know which has use
    for it. These end at the next thing that is wrong.
    """
    sample = tmp_path / "orders.jsonl"
    sample.write_text(json.dumps({"customer": "c1", "cents": 5, "at": "2026-03-01T12:00:00Z"}), encoding="utf-8")
    assert cli("init").code == 0
    assert cli("new", "shop/orders", "--sample", str(sample), "--key", "customer", "--time", "at").code == 0
    totals = "shop/totals --from shop/orders --by customer --window 1h --value n=count()"
    assert cli("new", *totals.split()).code == 0
    product = tmp_path / "processors/shop/totals/product.yaml"
    product.write_text(
        product.read_text(encoding="utf-8").replace("process:\n", "process:\n  engine: faust\n"), "utf-8"
    )
    for address in ("shop/orders", "shop/totals"):
        ended = cli("run", address, "--member", "one")
        assert ended.code == 2
        assert "only a processor with `engine: batch` has members with names" in " ".join(
            ended.err.replace("│", " ").split()
        )
        named = cli("run", address, "--kafka", "127.0.0.1:1", "--metrics", "here", MESHPORT_MEMBER="one")
        assert "'here' names no port to serve metrics on" in named.err
