"""docs/access.md, executed on a secured Kafka: its commands, and its principals."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from meshport.access import Acl, ClusterAcls
from meshport.local.cluster import Cluster
from meshport.project.clusters import principal_table
from meshport_registry import Settings, running
from tests.docs.shell import shell

TEXT = (Path(__file__).parents[2] / "docs" / "access.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
OLD = Acl("User:shop.old", "read", "topic", "shop.orders.events.v1")


def blocks(kind: str) -> list[str]:
    """The page's blocks of a kind, in order."""
    return [text for each, text in BLOCKS if each == kind]


@pytest.mark.kafka
def test_acls_are_applied_compared_and_revoked(secured_page: Cluster, tmp_path: Path) -> None:
    """`apply` creates what a product needs; `drift` shows an ACL that follows from nothing, and `--revoke` removes it alone."""
    applied, drift, revoked = blocks("sh")
    (tmp_path / "orders.jsonl").write_text('{"id": "a", "cents": 5}\n')
    (tmp_path / "operator.properties").write_bytes(secured_page.principals["operator"].read_bytes())
    shell("meshport init && meshport new shop/orders --sample orders.jsonl --key id", tmp_path)
    acls = ClusterAcls(secured_page.config)
    settings = Settings(
        database=f"sqlite:///{tmp_path / 'registry.db'}", port=0, bootstrap_servers=secured_page.bootstrap_servers
    )
    with running(settings) as url:
        mesh = {"MESHPORT_REGISTRY": url}
        shell(applied, tmp_path, **mesh)
        present = acls.all()
        assert present is not None
        assert {each.operation for each in present if each.principal == "User:shop.orders"} == {
            "write",
            "describe",
            "describe-configs",
        }
        acls.create([OLD])
        shown = shell(f"{drift.strip()} --json || true", tmp_path, **mesh)
        assert str(OLD) in shown
        shell(revoked, tmp_path, **mesh)
        after = acls.all()
        assert after is not None
        assert OLD not in after
        assert present <= after


def test_the_table_of_principals_is_read(tmp_path: Path) -> None:
    """`[principals]` is one of the tables of meshport.toml."""
    (tmp_path / "meshport.toml").write_text(blocks("toml")[0])
    assert principal_table(tmp_path) == {"shop/orders": "User:CN=orders"}
