"""Major lines of a port: which one an address without a major resolves to, and which dates are refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # it has no types

from meshport.errors import DescriptorError
from meshport.product import Product, Protection, parse_product
from meshport.product.lines import live_major, next_major, utc_today

HEAD = """\
address: mesh://player/plays
id: 218c3c71-5495-4d11-9379-eff0811a0f04
archetype: source-aligned
description: Every track that was played.
owner: player
outputPorts:
"""
DAY = date(2027, 3, 1)
ONE = timedelta(days=1)


def product(*ports: str) -> Product:
    """Return a product with these ports, each in YAML's flow style."""
    return parse_product(HEAD + "".join(f"  - {{{port}}}\n" for port in ports))


def test_a_line_is_live_from_its_day_on() -> None:
    """An address without a major resolves to the old line until the day before `liveFrom`, and to the new one from that day."""
    two = product("name: events", "name: events, major: 2, liveFrom: 2027-03-01")
    majors = [port.major for day in (DAY - ONE, DAY, DAY + ONE) if (port := two.port(today=day))]
    assert majors == [1, 2, 2]
    pinned = two.port("events", 2, today=DAY - ONE)
    assert pinned is not None
    assert pinned.major == 2


def test_a_line_without_a_day_is_live_at_once() -> None:
    """Without days the highest major is live; where no day has come, the lowest major is."""
    assert product("name: events", "name: events, major: 2").port() == product("name: events, major: 2").default_port
    later = product("name: events, major: 2, liveFrom: 9999-12-31")
    assert later.port() == later.default_port


def test_the_day_is_that_of_utc() -> None:
    """The live major is by default that of the current day in UTC."""
    before = datetime.now(UTC).date()
    found = utc_today()
    assert before <= found <= datetime.now(UTC).date()
    tomorrow = (found + 2 * ONE).isoformat()
    port = product("name: events", f"name: events, major: 2, liveFrom: {tomorrow}").port()
    assert port is not None
    assert port.major == 1


@given(
    st.dictionaries(st.integers(1, 9), st.none() | st.dates(DAY, DAY + 30 * ONE)), st.dates(DAY - ONE, DAY + 31 * ONE)
)
def test_no_day_takes_an_address_back(starts: dict[int, date | None], day: date) -> None:
    """For any days of the lines one of them is live, and the live major never decreases from day to day."""
    now, later = (live_major(starts, each) for each in (day, day + ONE))
    come = [major for major, start in starts.items() if start is None or start <= day]
    if now is None or later is None:
        assert not starts
    else:
        assert now <= later
        assert now == (max(come) if come else min(starts))


def test_the_next_line_is_the_nearest_above() -> None:
    """Majors may have gaps; readers move to the next line that exists."""
    assert [next_major([1, 3, 7], major) for major in (1, 2, 3, 7)] == [3, 3, 7, None]


@pytest.mark.parametrize(
    ("ports", "line", "found"),
    [
        (["name: events, liveFrom: 2027-03-01"], 7, "events@1 is the port's first line"),
        (["name: events, deprecatedOn: 2027-03-01"], 7, "no later major to move to; add events@2"),
        (
            ["name: events", "name: events, major: 2, deprecatedOn: 2027-03-01"],
            8,
            "no later major to move to; add events@3",
        ),
        (
            ["name: events, deprecatedOn: 2027-03-01", "name: other, major: 2"],
            7,
            "no later major to move to; add events@2",
        ),
        (
            ["name: events, deprecatedOn: 2027-02-28", "name: events, major: 2, liveFrom: 2027-03-01"],
            7,
            "left events@1 by 2027-02-28, but an address without a major leads to events@2 from 2027-03-01 on only",
        ),
        (
            ["name: events", "name: events, major: 2, liveFrom: 2027-03-01", "name: events, major: 3"],
            9,
            "events@3 would be live at once, before events@2, which is from 2027-03-01",
        ),
        (
            [
                "name: events",
                "name: events, major: 3, liveFrom: 2027-02-28",
                "name: events, major: 2, liveFrom: 2027-03-01",
            ],
            8,
            "events@3 would be live from 2027-02-28, before events@2",
        ),
        (["name: events, liveFrom: soon"], 7, "outputPorts.0.liveFrom: 'soon' is no day"),
        (["name: events, protects: nobody"], 7, "'everyone' or 'declared-readers'"),
    ],
)
def test_dates_that_cannot_be_are_refused_at_their_line(ports: list[str], line: int, found: str) -> None:
    """Dates are refused that leave readers without a line to move to, or that make lines live out of order."""
    with pytest.raises(DescriptorError) as refused:
        product(*ports)
    assert refused.value.line == line
    assert found in refused.value.message


def test_two_lines_with_dates_are_well_formed() -> None:
    """An old line may be deprecated on the day the new one becomes live, or later; the JSON Schema takes both dates."""
    two = product("name: events, deprecatedOn: 2027-03-01", "name: events, major: 2, liveFrom: 2027-03-01")
    assert [(port.live_from, port.deprecated_on, port.protects) for port in two.output_ports] == [
        (None, DAY, Protection.EVERYONE),
        (DAY, None, Protection.EVERYONE),
    ]
    document = two.model_dump(mode="json", by_alias=True, exclude_none=True)
    Draft202012Validator(Product.model_json_schema()).validate(document)
    assert Product.model_validate(document) == two
    keys = Product.model_json_schema()["$defs"]["OutputPort"]["properties"]
    assert all(keys[key]["description"] for key in ("liveFrom", "deprecatedOn", "protects"))
