"""Readers that were seen: what they are called, and how a subscriber names itself."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshport.seen_readers import (
    ReaderKind,
    ReaderState,
    SeenReader,
    SubscriberName,
    UndeclaredReader,
    product_of_group,
)

NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
NAMES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S"]), min_size=1, max_size=60)


@given(st.builds(SubscriberName, group=st.none() | NAMES, client=st.none() | NAMES, fields=st.lists(NAMES).map(tuple)))
def test_a_header_says_what_it_was_made_of(name: SubscriberName) -> None:
    """A header is ASCII of a bounded length, and is read as what it was made of; only its fields may be left out."""
    header = name.header()
    assert header.isascii()
    assert len(header) < 2_000
    read = SubscriberName.read(header)
    assert (read.group, read.client) == (name.group, name.client)
    assert read.fields in {name.fields, ()}


@pytest.mark.parametrize(
    "header", ["", "&&&", "group", "group=%00", "group=" + "g" * 257, "x" * 10_000, "field=a&" * 400]
)
def test_a_header_that_is_none_names_no_group(header: str) -> None:
    """What is no header, or has a name that is too long or not to be printed, says nothing."""
    assert SubscriberName.read(header).group is None


@pytest.mark.parametrize(
    ("group", "product"),
    [
        ("meshport.process.billing.invoices.events.v1", "billing/invoices"),
        ("meshport.process.billing.invoices.events.v1.g2", "billing/invoices"),
        ("billing.invoices", "billing/invoices"),
        ("billing.invoices.nightly", "billing/invoices"),
        ("billing", None),
        ("billing.", None),
        (".invoices", None),
    ],
)
def test_a_group_is_named_after_its_product(group: str, product: str | None) -> None:
    """The groups of processors, and those that the ACLs of a product allow, name it."""
    assert product_of_group(group) == product


def test_the_newest_way_is_shown() -> None:
    """Of two ways on one day the one that says more is shown, else the later one."""
    reader = SeenReader(
        name="billing",
        kind=ReaderKind.GROUP,
        declared=False,
        state=ReaderState.SEEN,
        read_at=NOON,
        subscribed_at=NOON + timedelta(hours=3),
    )
    assert (reader.words(), reader.last_seen) == ("read 2026-11-28", NOON + timedelta(hours=3))
    later = reader.model_copy(update={"schema_at": NOON + timedelta(days=2)})
    assert later.words() == "fetched the schema 2026-11-30"
    silent = reader.model_copy(update={"state": ReaderState.SILENT})
    assert (silent.words(), silent.reads_lately) == ("nothing for 30 days, read 2026-11-28", False)
    never = SeenReader(name="shop/orders", kind=ReaderKind.PRODUCT, declared=True, state=ReaderState.UNOBSERVED)
    assert (never.words(), never.last_seen) == ("not observed yet", None)


def test_the_gate_says_whether_it_reads_or_asks() -> None:
    """One that was seen to read is said to read, and one that only fetched the schema to ask."""
    group = UndeclaredReader(name="billing", kind=ReaderKind.GROUP, how="read", last_seen=date(2026, 11, 28))
    assert str(group) == "read by group 'billing' (not declared; last read 2026-11-28)"
    client = UndeclaredReader(
        name="Java/17", kind=ReaderKind.CLIENT, how="fetched the schema", last_seen=date(2026, 11, 2), fields=("a", "b")
    )
    assert (
        str(client) == "asked for by client 'Java/17' (not declared; last fetched the schema 2026-11-02; fields a, b)"
    )
