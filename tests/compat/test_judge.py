"""The verdict: which findings count against a candidate, and which readers they reach."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from meshport.address import Address
from meshport.catalog import Reader, Waiver
from meshport.compat import Contract, Outcome, Past, State, Verdict, Version, judge_new, judge_port
from meshport.compat.corpus import Fixture, contract_of
from meshport.compat.judge import refused_schema
from meshport.errors import SchemaError
from meshport.product import Archetype, Compatibility, Status
from meshport.schema import parse_schema
from tests.compat.contracts import TODAY
from tests.compat.schemas import record, strings

MISSING = "READER_FIELD_MISSING_DEFAULT_VALUE"


def contract(*fields: str, level: str = "FULL_TRANSITIVE", **port: Any) -> Contract:
    """Return a port whose record has `customer` and these strings; `name?` has a default."""
    document, _ = Fixture("", "", {"level": level, "after": {"port": port}}).after
    return contract_of((document, record(*strings("customer", "ordered_at", *fields))))


def reader(name: str, *fields: str) -> Reader:
    """Return a product that reads these fields of the port."""
    return Reader(
        address=Address("finance", name),
        reads=Address("shop", "orders", "events", None),
        fields=fields,
        archetype=Archetype.AGGREGATE,
        owner="finance",
        status=Status.ACTIVE,
    )


def waiver(rule: str, path: str, until: date, *, revoked: bool = False) -> Waiver:
    """Return an approval of a change."""
    now = datetime(2026, 2, 1, tzinfo=UTC)
    return Waiver(
        id=7,
        address=contract().address,
        rule=rule,
        path=path,
        approver="ada",
        reason="all readers have moved",
        until=until,
        created_at=now,
        revoked_at=now if revoked else None,
    )


def judge(
    after: Contract, *before: Contract, readers: tuple[Reader, ...] = (), waivers: tuple[Waiver, ...] = ()
) -> Verdict:
    """Return the verdict on a candidate after a history."""
    versions = tuple(Version(number, each.schema) for number, each in enumerate(before, 1))
    return judge_port(Past(before[-1], versions, readers, waivers), after, after.product, today=TODAY)


def errors(verdict: Verdict) -> list[tuple[str, str, State]]:
    """Return errors by rule, path and state."""
    return [(each.rule, each.path, each.state) for each in verdict.findings if each.severity == "error"]


def test_an_equal_contract_is_unchanged() -> None:
    """A contract that equals its past is unchanged, and no rule is called."""
    assert judge(contract("a"), contract("a")).outcome is Outcome.UNCHANGED


def test_an_optional_field_passes() -> None:
    """A new field with a default is compatible in both directions."""
    verdict = judge(contract("a", "b?"), contract("a"))
    assert verdict.outcome is Outcome.COMPATIBLE
    assert verdict.versions == (1,)


def test_a_new_port_is_new() -> None:
    """The verdict on a port without a past is `new`, and it passes."""
    verdict = judge_new(contract("a"), today=TODAY)
    assert (verdict.outcome, verdict.passes, verdict.versions) == (Outcome.NEW, True, ())


def test_lowering_the_level_and_breaking_at_once_does_not_pass() -> None:
    """The earlier level holds for the change that lowers it."""
    found = errors(judge(contract(level="NONE"), contract("a")))
    assert (MISSING, "a", State.STANDS) in found
    assert ("COMPATIBILITY_LOWERED", "compatibility", State.STANDS) in found


def test_raising_the_level_holds_at_once() -> None:
    """A candidate with a higher level is judged by that level."""
    found = errors(judge(contract(level="FULL"), contract("a", level="NONE")))
    assert found == [(MISSING, "a", State.STANDS)]


def test_each_reader_has_its_own_verdict() -> None:
    """A removed field breaks the readers that read it and those that declare no fields, and no others."""
    readers = (reader("totals", "a"), reader("names", "customer"), reader("undeclared"))
    verdict = judge(contract(), contract("a"), readers=readers)
    assert verdict.outcome is Outcome.BREAKING
    assert {each.address.product: each.breaks for each in verdict.readers} == {
        "totals": (f"{MISSING} a",),
        "names": (),
        "undeclared": (f"{MISSING} a",),
    }


def test_strict_is_the_default_without_a_known_reader() -> None:
    """A break refuses the candidate even if no known reader breaks, since not every reader is known."""
    assert not judge(contract(), contract("a"), readers=(reader("names", "customer"),)).passes


def test_a_port_may_protect_declared_readers_only() -> None:
    """A port that protects declared readers passes a change that none of them reads, and still reports it."""
    after, before = (contract(*fields, protects="declared-readers") for fields in ((), ("a",)))
    verdict = judge(after, before, readers=(reader("names", "customer"),))
    assert (verdict.outcome, errors(verdict)) == (Outcome.COMPATIBLE, [(MISSING, "a", State.UNREAD)])
    assert not judge(after, before, readers=(reader("names", "customer"), reader("undeclared"))).passes


def test_giving_up_the_protection_does_not_let_a_change_pass_with_it() -> None:
    """The protection before the change counts, so that a change cannot lower it and break with it at once."""
    after, before = contract(protects="declared-readers"), contract("a")
    assert (MISSING, "a", State.STANDS) in errors(judge(after, before))


@pytest.mark.parametrize(
    ("given", "state"),
    [
        (waiver(MISSING, "a", TODAY), State.WAIVED),
        (waiver(MISSING, "a", date(2026, 2, 28)), State.STANDS),
        (waiver(MISSING, "a", TODAY, revoked=True), State.STANDS),
        (waiver(MISSING, "b", TODAY), State.STANDS),
        (waiver("TYPE_MISMATCH", "a", TODAY), State.STANDS),
    ],
)
def test_a_waiver_is_for_one_change_until_its_day(given: Waiver, state: State) -> None:
    """A waiver passes one rule at one path through its last day; not another change, not the day after, not once revoked."""
    verdict = judge(contract(), contract("a"), waivers=(given,))
    assert errors(verdict) == [(MISSING, "a", state)]
    assert verdict.passes is (state is State.WAIVED)


def test_a_waiver_is_shown_though_it_is_not_needed() -> None:
    """Every verdict of the port names the waivers that hold."""
    held = waiver(MISSING, "a", TODAY)
    assert judge(contract("a", "b?"), contract("a"), waivers=(held,)).waivers == (held,)


def test_what_is_broken_already_is_not_the_candidates_doing() -> None:
    """After a waived removal the next version needs no waiver, and its break with version 1 is reported as settled."""
    verdict = judge(contract("b?"), contract("a"), contract())
    assert (verdict.outcome, errors(verdict)) == (Outcome.COMPATIBLE, [(MISSING, "a", State.SETTLED)])


def test_a_second_break_is_not_settled_by_the_first() -> None:
    """A new break counts even if the newest version has another break already."""
    verdict = judge(contract(), contract("a", "b"), contract("b"))
    assert errors(verdict) == [(MISSING, "b", State.STANDS), (MISSING, "a", State.SETTLED)]


def test_a_removed_port_breaks_every_reader() -> None:
    """A removed port breaks every reader, whatever it reads."""
    before = contract("a")
    past = Past(before, (Version(1, before.schema),), (reader("names", "customer"), reader("undeclared")))
    verdict = judge_port(past, None, before.product, today=TODAY)
    assert [each.rule for each in verdict.findings] == ["PORT_REMOVED"]
    assert all(each.breaks for each in verdict.readers)


def test_a_second_major_stops_those_that_name_none() -> None:
    """A second major that is live at once breaks the readers without a major, and not those that name the first."""
    before = contract("a")
    second = before.port.model_copy(update={"major": 2})
    product = before.product.model_copy(update={"output_ports": (before.port, second)})
    pinned = reader("pinned").model_copy(update={"reads": Address("shop", "orders", "events", 1)})
    past = Past(before, (Version(1, before.schema),), (reader("follows", "customer"), pinned))
    verdict = judge_port(past, Contract(product, before.port, before.schema), product, today=TODAY)
    assert [(each.rule, each.pointer) for each in verdict.findings] == [("MAJOR_MOVES_READERS", "/outputPorts/1")]
    assert [bool(each.breaks) for each in verdict.readers] == [True, False]


def test_a_pointer_leads_to_the_nearest_element_of_the_candidate() -> None:
    """A pointer leads to the field; for a removed field to the field before it, or to the record."""
    gone = judge(contract("b"), contract("a", "b")).findings[0]
    new = judge(contract("a"), contract()).findings[0]
    assert (gone.pointer, new.pointer) == ("/fields/1", "/fields/2")


def test_a_schema_that_cannot_be_read_for_a_rules_reason_is_a_finding() -> None:
    """A schema that a rule refuses at parsing is a finding; one that is not Avro stays an error of the input."""
    with pytest.raises(SchemaError) as bomb:
        parse_schema(json.dumps({"type": "record", "name": "R", "fields": [{"name": "r", "type": "R"}]}))
    verdict = refused_schema(contract().address, Compatibility.FULL, bomb.value, today=TODAY)
    assert [each.rule for each in verdict.findings] == ["DECODING_BOMB"]
    with pytest.raises(SchemaError) as garbage:
        parse_schema("{")
    with pytest.raises(SchemaError, match="JSON"):
        refused_schema(contract().address, Compatibility.FULL, garbage.value, today=TODAY)
