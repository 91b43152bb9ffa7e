"""A small mesh in git, and short forms of its docket."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path

import pytest

from meshport.compat import Case
from meshport.gate.docket import Docket
from meshport.schema import Schema
from tests.gate.repositories import Mesh, record

TODAY = date(2026, 1, 1)
COUNTRY = {"type": "enum", "name": "Country", "namespace": "common", "symbols": ["ZZ", "DE"], "default": "ZZ"}


@pytest.fixture(autouse=True)
def _own_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove git's environment variables, which a hook around the tests may have set."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def mesh(tmp_path: Path) -> Mesh:
    """Orders, customers, and a product derived from orders, committed on main."""
    made = Mesh.make(tmp_path / "mesh")
    made.product("shop/orders", record("Order", "cents"))
    made.product("shop/customers", record("Customer"))
    made.product("shop/revenue", record("Revenue"), reads={"shop/orders/events@1": ["cents"]})
    made.commit("first")
    return made


def keys(found: Docket) -> list[str]:
    """Return the cases' addresses."""
    return [case.address.key for case in found.cases]


def only(found: Docket) -> Case:
    """Return the only case."""
    (case,) = found.cases
    return case


def fields(schema: Schema | None) -> tuple[str, ...]:
    """Return the fields of a schema after the id."""
    return () if schema is None else schema.field_names[1:]


def history(case: Case) -> list[tuple[int, tuple[str, ...]]]:
    """Return the versions that a case is compared with, by number and fields."""
    return [] if case.past is None else [(each.number, fields(each.schema)) for each in case.past.versions]
