"""The rules of the promises around a schema: levels in their order, service levels in their units, no finding without a loss."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meshport.compat import Contract
from meshport.compat.contract import Change
from meshport.compat.rules import governance, key, port, product, slo, topic
from meshport.compat.rules.port import at_least
from meshport.compat.service_levels import LevelChange, level_change
from meshport.event.record import record_key
from meshport.product import Compatibility, Product, ServiceLevel
from tests.compat.contracts import CLASSES, contract, ports, retentions

OWN: Final = tuple(rule for each in (key, topic, port, product, slo, governance) for rule in each.RULES)


def found(before: Contract, after: Contract | None, left: Product | None = None) -> set[tuple[str, str]]:
    """Return rule and path of everything that these rules find in a change."""
    change = Change(before, after, after.product if after else left, date(2026, 3, 1))
    return {(rule.id, each.path) for rule in OWN for each in rule.handler(change)}


# --- the seven levels: each row promises all that the levels in it do

PROMISES: Final = {
    "NONE": "NONE",
    "BACKWARD": "NONE BACKWARD",
    "BACKWARD_TRANSITIVE": "NONE BACKWARD BACKWARD_TRANSITIVE",
    "FORWARD": "NONE FORWARD",
    "FORWARD_TRANSITIVE": "NONE FORWARD FORWARD_TRANSITIVE",
    "FULL": "NONE BACKWARD FORWARD FULL",
    "FULL_TRANSITIVE": "NONE BACKWARD BACKWARD_TRANSITIVE FORWARD FORWARD_TRANSITIVE FULL FULL_TRANSITIVE",
}


@pytest.mark.parametrize("before", list(Compatibility))
@pytest.mark.parametrize("after", list(Compatibility))
def test_a_level_is_lowered_unless_the_new_one_promises_all_of_it(before: Compatibility, after: Compatibility) -> None:
    """Of all 49 pairs, a level is lowered unless the new one promises everything that the old one does."""
    kept = before in PROMISES[after].split()
    assert at_least(after, before) is kept
    change = contract(port={"compatibility": before}), contract(port={"compatibility": after})
    assert found(*change) == (set() if kept else {("COMPATIBILITY_LOWERED", "compatibility")})


# --- service levels


def level(text: str) -> ServiceLevel:
    """`timeliness 5 m`."""
    name, value, *unit = text.split()
    return ServiceLevel(property=name, value=float(value), unit=unit[0] if unit else None)


@pytest.mark.parametrize(
    ("before", "after", "became"),
    [
        ("timeliness 5 m", "timeliness 5 h", LevelChange.WEAKER),
        ("timeliness 5 m", "timeliness 300 s", LevelChange.KEPT),
        ("timeliness 5 m", "timeliness 299999 ms", LevelChange.STRONGER),
        ("timeliness 1.1 m", "timeliness 66 s", LevelChange.KEPT),
        ("timeliness 5", "timeliness 6", LevelChange.WEAKER),
        ("timeliness 95 percent", "timeliness 99 percent", LevelChange.STRONGER),
        ("intervalOfChange 1 day", "intervalOfChange 25 hours", LevelChange.WEAKER),
        ("INTERVALOFCHANGE 7 d", "intervalOfChange 1 w", LevelChange.KEPT),
        ("frequency 1 d", "fy 12 h", LevelChange.STRONGER),
        ("latency 4 d", "ly 5 d", LevelChange.WEAKER),
        ("timeToRepair 1 h", "timeToRepair 2 h", LevelChange.WEAKER),
        ("errorRate 1 percent", "errorRate 2 percent", LevelChange.WEAKER),
        ("errorRate 1 percent", "er 0.5 %", LevelChange.STRONGER),
        ("completeness 99.5 percent", "completeness 99.4 percent", LevelChange.WEAKER),
        ("completeness 99.5 percent", "completeness 99.5 %", LevelChange.KEPT),
        ("availability 99.9 percent", "av 99.99 percent", LevelChange.STRONGER),
        ("throughput 100 events/s", "throughput 50 events/s", LevelChange.WEAKER),
        ("retention 1 y", "retention 365 d", LevelChange.KEPT),
        ("retention 1 y", "retention 364 d", LevelChange.WEAKER),
        ("retention 1 y", "retention 366 d", LevelChange.STRONGER),
        ("timeliness 5 m", "timeliness 5", LevelChange.WEAKER),
        ("timeliness 5 m", "timeliness 5 percent", LevelChange.WEAKER),
        ("throughput 100 events/s", "throughput 6000 events/m", LevelChange.KEPT),
        ("throughput 100 events/s", "throughput 5999 events/m", LevelChange.WEAKER),
        ("sampleSize 10", "sampleSize 20", LevelChange.OTHER),
        ("sampleSize 10", "sampleSize 10", LevelChange.KEPT),
        ("warmUp 60 s", "warmUp 1 m", LevelChange.KEPT),
        ("warmUp 60 s", "warmUp 60 percent", LevelChange.OTHER),
    ],
)
def test_what_a_service_level_became(before: str, after: str, became: LevelChange) -> None:
    """Units are converted without rounding; the property decides which figure is weaker; an unknown one does not."""
    assert level_change(level(before), level(after)) is became


def test_a_loss_in_the_last_digit_is_shown_with_it() -> None:
    """A finding shows the two figures as they are, not rounded to one."""
    was, now = ({"property": "availability", "value": each, "unit": "percent"} for each in (99.999999, 99.999998))
    sides = [contract(product={"slaProperties": [each]}) for each in (was, now)]
    (told,) = slo.slo_weakened(Change(sides[0], sides[1], sides[1].product, date(2026, 3, 1)))
    assert (told.before, told.after) == ("99.999999 percent", "99.999998 percent")
    assert "value: 99.999999" in told.advice


def test_a_level_of_the_port_overrides_one_of_all_ports() -> None:
    """A promise of another port does not count, nor does one of all ports if this port has its own."""
    wide = {"property": "timeliness", "value": 1, "unit": "m"}
    own, others = wide | {"port": "events"}, wide | {"port": "refunds", "value": 9}
    weaker = own | {"value": 2}

    def change(before: list[Any], after: list[Any]) -> set[tuple[str, str]]:
        two = {"outputPorts": [*ports(), *ports(name="refunds")]}
        known, candidate = (contract(product=two | {"slaProperties": each}) for each in (before, after))
        return found(known, candidate)

    assert change([wide], [own]) == change([wide, others], [wide]) == change([wide], [wide, others]) == set()
    assert change([wide], [wide, weaker]) == {("SLO_WEAKENED", "slaProperties.timeliness")}
    assert change([own], [weaker]) == {("SLO_WEAKENED", "slaProperties.timeliness.events")}
    assert change([own], [others]) == {("SLO_REMOVED", "slaProperties.timeliness.events")}


# --- keys


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        ("int", "long", False),
        ("long", "double", True),
        ("float", "double", True),
        ("string", "bytes", True),
        ("bytes", {"type": "fixed", "name": "F", "size": 4}, False),
        ({"type": "enum", "name": "E", "symbols": ["A"]}, "string", False),
        ("string", {"type": "string", "logicalType": "uuid"}, True),
        ("string", {"type": "string", "logicalType": "unknown-here"}, False),
        (
            {"type": "long", "logicalType": "timestamp-millis"},
            {"type": "long", "logicalType": "timestamp-micros"},
            True,
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
            {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 3},
            True,
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
            {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2},
            False,
        ),
        (["string", "null"], "string", False),
        (["string", "long"], "string", True),
    ],
)
def test_a_key_field_changes_where_its_bytes_may(before: Any, after: Any, differs: bool) -> None:
    """Types with the same text in a key can replace each other; with other types, events of one key go to two partitions."""
    known, candidate = (contract(fields={"customer": each}) for each in (before, after))
    assert {rule for rule, _ in found(known, candidate)} == ({"KEY_SCHEMA"} if differs else set())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (5, 5.0),
        (0.1, 0.10000000149011612),
        ("ab", b"ab"),
        ("0A000000-0000-0000-0000-000000000000", UUID("0A000000-0000-0000-0000-000000000000")),
        (Decimal("1.50"), Decimal("1.500")),
        (datetime(2026, 1, 1, tzinfo=UTC), 1767225600000),
    ],
)
def test_keys_are_written_as_the_rule_says(before: Any, after: Any) -> None:
    """Types that differ for the rule give different keys in the publisher's own function."""
    made = record_key(("customer",))
    assert made({"customer": before}) != made({"customer": after})


def test_each_field_of_a_composite_key_is_looked_at() -> None:
    """The finding names the field of a composite key, whichever it is."""
    before, after = (
        contract(port={"key": ["customer", "cents"]}, fields={"cents": kind}) for kind in ("long", ["null", "double"])
    )
    assert found(before, after) == {("KEY_SCHEMA", "cents"), ("KEY_NULLABLE", "cents")}


# --- what is gone


def test_a_removed_port_or_product_has_one_finding() -> None:
    """A removed port or product has that one finding, and none for its lost promises."""
    levels = [{"property": "timeliness", "value": 1}]
    before = contract(product={"slaProperties": levels})
    renamed = Product.model_validate(
        contract().product.model_dump(by_alias=True, mode="json") | {"outputPorts": ports(name="placed")}
    )
    assert found(before, None, renamed) == {("PORT_REMOVED", "")}
    assert found(before, None) == {("PRODUCT_REMOVED", "")}


def test_another_address_and_another_id_are_each_reported() -> None:
    """A changed address and a changed id are each reported, however the two products are paired."""
    moved, known = contract(product={"address": "mesh://shop/purchases"}), contract()
    assert found(known, moved) == {("EVENT_SOURCE", "address")}
    renewed = contract(product={"id": "7c7a53a5-0c55-4d5f-9a0e-3a3f5f0a7f11", "address": "mesh://shop/purchases"})
    assert found(known, renewed) == {("EVENT_SOURCE", "address"), ("PRODUCT_ID", "id")}


@pytest.mark.parametrize("text", ["TODO", "tbd: ask Ada", "n/a", "-", "  ", "Unknown", "(none)"])
def test_a_placeholder_is_no_owner(text: str) -> None:
    """A placeholder removes owner and contact as an empty value does, and is no change of owner."""
    assert found(contract(), contract(product={"owner": text})) == {("OWNER_DROPPED", "owner")}
    assert found(contract(), contract(product={"contact": text})) == {("OWNER_DROPPED", "contact")}
    assert found(contract(product={"owner": text}), contract(product={"owner": text})) == set()


@pytest.mark.parametrize("text", ["none-of-your-business", "todos", "unknown-unknowns@example.com"])
def test_a_name_that_begins_like_a_placeholder_is_one(text: str) -> None:
    """Only whole words are placeholders: a name that begins with one is a name."""
    assert found(contract(), contract(product={"contact": text})) == set()


# --- properties

LEVELS: Final = {"timeliness": (1, True), "latency": (1, True), "completeness": (90, False), "retention": (1, False)}
PROMISE = st.fixed_dictionaries({
    "retention": st.sampled_from([1, 7, 365, None]),
    "compatibility": st.sampled_from(list(Compatibility)),
    "classification": st.sampled_from(CLASSES),
    "slo": st.fixed_dictionaries(dict.fromkeys(LEVELS, st.integers(1, 9))),
})  # fmt: skip
WEAKENED: Final = {"RETENTION", "COMPATIBILITY_LOWERED", "CLASSIFICATION_LOWERED", "SLO_WEAKENED"}


def promising(promise: dict[str, Any]) -> Contract:
    """Return a contract with these figures."""
    units = {"completeness": "percent", "retention": "d"}
    levels = [
        {"property": name, "value": value, "unit": units.get(name, "m")} for name, value in promise["slo"].items()
    ]
    return contract(
        port={"retention": retentions(promise["retention"]), "compatibility": promise["compatibility"]},
        product={"classification": promise["classification"], "slaProperties": levels},
    )


def keeps(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Return whether one promise is at least as good as another in each figure, computed independently of the rules."""
    figures = all(
        (now <= before["slo"][name]) if LEVELS[name][1] else (now >= before["slo"][name])
        for name, now in after["slo"].items()
    )
    times = [float("inf") if each["retention"] is None else each["retention"] for each in (before, after)]
    return (
        figures
        and times[1] >= times[0]
        and before["compatibility"] in PROMISES[after["compatibility"]].split()
        and CLASSES.index(after["classification"]) >= CLASSES.index(before["classification"])
    )


@given(PROMISE)
def test_an_unchanged_contract_finds_nothing(promise: dict[str, Any]) -> None:
    """A contract that is compared with an equal one has no finding, whatever it promises."""
    assert found(promising(promise), promising(promise)) == set()


@given(PROMISE, PROMISE)
def test_a_promise_is_refused_where_a_figure_is_weaker_and_only_there(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    """A change passes exactly if each figure is as good or better."""
    rules = found(promising(before), promising(after))
    assert {rule for rule, _ in rules} <= WEAKENED
    assert (not rules) is keeps(before, after)


@given(
    st.sampled_from(sorted(LEVELS)), st.floats(0, 1e9), st.floats(0, 1e9), st.sampled_from(["m", "d", "percent", None])
)
@example("timeliness", 0.1, 0.2, "m")
def test_weaker_and_stronger_are_opposites(name: str, one: float, other: float, unit: str | None) -> None:
    """Of two figures in one unit, one direction weakens and the other strengthens; never both."""
    first, second = (ServiceLevel(property=name, value=each, unit=unit) for each in (one, other))
    both = {level_change(first, second), level_change(second, first)}
    assert both == ({LevelChange.KEPT} if one == other else {LevelChange.WEAKER, LevelChange.STRONGER})


@given(st.sampled_from(sorted(LEVELS)), st.integers(1, 10**6), st.integers(1, 10**6))
def test_a_figure_means_the_same_in_each_unit(name: str, one: int, other: int) -> None:
    """Minutes compared with minutes have the verdict of minutes compared with seconds."""
    first, second = (ServiceLevel(property=name, value=each, unit="m") for each in (one, other))
    in_seconds = ServiceLevel(property=name, value=other * 60, unit="s")
    assert level_change(first, second) is level_change(first, in_seconds)


def test_rules_that_no_waiver_passes_are_those_where_the_mesh_would_be_wrong() -> None:
    """No waiver passes fewer partitions, other keys, addresses or ids, after which the mesh itself would be wrong."""
    assert {rule.id for rule in OWN if not rule.waivable} == {
        "KEY_CHANGED",
        "PARTITIONS",
        "PORT_REMOVED",
        "PRODUCT_REMOVED",
        "EVENT_SOURCE",
        "PRODUCT_ID",
    }
