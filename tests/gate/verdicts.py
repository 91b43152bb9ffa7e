"""Verdicts as the engine gives them, for the tests of what is made of them."""

from datetime import UTC, date, datetime
from typing import Any

from meshport.address import Address
from meshport.catalog import Waiver
from meshport.compat.finding import (
    Direction,
    Finding,
    Outcome,
    Part,
    ReaderVerdict,
    RollOut,
    Severity,
    State,
    Verdict,
)
from meshport.gate.run import GateRun
from meshport.product import Compatibility

TODAY = date(2026, 3, 2)
PLAYS = Address.parse("mesh://player/plays/events@1")
SCHEMA_FILE = "schemas/player/plays.events.avsc"
DESCRIPTOR = "producers/player/plays/product.yaml"


def removed() -> Finding:
    """A field that two readers need is gone."""
    return Finding(
        rule="READER_FIELD_MISSING_DEFAULT_VALUE",
        directions=(Direction.FORWARD,),
        path="duration_ms",
        pointer="/fields",
        before={"name": "duration_ms", "type": "long"},
        message="the field 'duration_ms' is gone, and readers of the earlier schema have no default for it",
        advice="in two steps: first give 'duration_ms' a default (\"default\": 0) and let the readers take that version, "
        "then remove it; or publish it as a new major beside this one: `meshport new ADDRESS --major`",
        roll_out=RollOut.READERS,
        versions=(3, 2, 1),
        file=SCHEMA_FILE,
        line=9,
    )


def waived() -> Finding:
    """A change of type that somebody approved."""
    return Finding(
        rule="TYPE_MISMATCH",
        directions=(Direction.BACKWARD, Direction.FORWARD),
        path="device.kind",
        before="string",
        after="int",
        message="reader type: int not compatible with writer type: string",
        advice="keep 'kind' as it is and add a field beside it",
        roll_out=RollOut.READERS,
        versions=(3,),
        state=State.WAIVED,
        waiver=4,
        file=SCHEMA_FILE,
        line=21,
    )


def warned() -> Finding:
    """A promise that is weakened."""
    return Finding(
        rule="RETENTION_SHORTENED",
        severity=Severity.WARNING,
        directions=(Direction.CONTRACT,),
        part=Part.PORT,
        path="retention",
        before="365d",
        after="30d",
        message="retention falls from '365d' to '30d'",
        advice="keep `retention: 365d`",
        file=DESCRIPTOR,
        line=14,
    )


def settled() -> Finding:
    """Something that is so already."""
    return Finding(
        rule="FIXED_SIZE_MISMATCH",
        directions=(Direction.BACKWARD,),
        path="digest",
        message="size 16 is not size 20",
        versions=(1,),
        state=State.SETTLED,
    )


def waiver(number: int = 4, **given: Any) -> Waiver:
    """A waiver of `waived`, until the end of March."""
    fields: dict[str, Any] = {
        "rule": "TYPE_MISMATCH",
        "path": "device.kind",
        "approver": "ada",
        "reason": "the only reader has moved",
        "until": date(2026, 3, 31),
    }
    recorded = datetime(2026, 3, 1, 12, tzinfo=UTC)
    return Waiver(id=number, address=PLAYS, created_at=recorded, **(fields | given))


def breaking(*findings: Finding, **given: Any) -> Verdict:
    """A verdict on `player/plays` with six readers, of which two break at `duration_ms`."""
    gone = "READER_FIELD_MISSING_DEFAULT_VALUE duration_ms"
    readers = [
        reader("payments/artist-royalties", "royalties", ("duration_ms", "artist_id"), (gone,)),
        reader("recommendations/related-artists", "discovery", (), (gone, "TYPE_MISMATCH device.kind")),
        *(reader(f"listening/report-{number}", "listening", ("artist_id",)) for number in range(4)),
    ]
    fields: dict[str, Any] = {
        "outcome": Outcome.BREAKING,
        "level": Compatibility.FULL_TRANSITIVE,
        "versions": (3, 2, 1),
        "readers": tuple(readers),
        "waivers": (waiver(),),
    }
    return Verdict(address=PLAYS, findings=findings, judged_on=TODAY, **(fields | given))


def reader(address: str, owner: str, fields: tuple[str, ...] = (), breaks: tuple[str, ...] = ()) -> ReaderVerdict:
    """What the candidate means to one reader."""
    return ReaderVerdict(address=Address.parse(address), owner=owner, fields=fields, breaks=breaks)


def passing(address: str, outcome: Outcome, **given: Any) -> Verdict:
    """A verdict without a finding."""
    fields: dict[str, Any] = {"level": Compatibility.FULL, "versions": () if outcome is Outcome.NEW else (2,)}
    return Verdict(address=Address.parse(address), outcome=outcome, judged_on=TODAY, **(fields | given))


def story() -> GateRun:
    """One contract that breaks in every manner, one that is new, one that changed well, five that nobody touched."""
    return GateRun(
        against="git main (3f2c1ab)",
        verdicts=(
            breaking(removed(), waived(), warned(), settled()),
            passing("mesh://artists/labels/current@1", Outcome.NEW),
            passing("mesh://player/quality/events@2", Outcome.COMPATIBLE),
        ),
        unchanged=5,
        notes=("offline: waivers and readers of other projects are not known",),
    )
