"""What the stored events of a port show about a candidate schema: values that are printed and sent as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from meshport.product.input_port import AddressText

_MAX_EXAMPLES: Final = 20  # of each cause, in the text for people


class Cause(StrEnum):
    """Why an event cannot be read with the candidate.

    Attributes:
        CANDIDATE: the port's present schema reads it, the candidate does not.
        SETTLED: its writer's schema reads it, and the port's present schema does not; the candidate is not the cause.
        UNREADABLE: no reader reads it today: it is no event, or its bytes do not match their schema.
        UNKNOWN_SCHEMA: it names a schema that the registry does not know; today's readers fail on it too.
    """

    CANDIDATE = "candidate"
    SETTLED = "settled"
    UNREADABLE = "unreadable"
    UNKNOWN_SCHEMA = "unknown-schema"

    @property
    def is_older(self) -> bool:
        """Whether the event could not be read before the candidate either."""
        return self is not Cause.CANDIDATE


class Presence(StrEnum):
    """Whether a version has stored events.

    Attributes:
        SEEN: some were read.
        NONE_LEFT: everything was read and no event is of this version, so that only the rules judge it.
        NOT_IN_SAMPLE: none was in the sample; there may be some.
    """

    SEEN = "seen"
    NONE_LEFT = "none left"
    NOT_IN_SAMPLE = "not in the sample"


class _EvidenceModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class UnreadableEvent(_EvidenceModel):
    """A stored event that cannot be read with the candidate.

    Attributes:
        cause: why it cannot be read.
        topic: of its record.
        partition: of its record.
        offset: of its record.
        version: number of the version that wrote it; None if it is none of the given versions.
        fingerprint: of its writer's schema; None if it names no schema, or one that the registry does not know.
        error: the error of the candidate's reader.
    """

    cause: Cause
    topic: str
    partition: int
    offset: int
    version: int | None = None
    fingerprint: str | None = None
    error: str

    def __str__(self) -> str:
        wrote = f" (version {self.version})" if self.version is not None else ""
        return f"{self.topic}[{self.partition}]@{self.offset}{wrote}: {self.error}"


class VersionEvidence(_EvidenceModel):
    """What was read of one version.

    Attributes:
        number: of the version; None for a schema that is none of the given versions.
        fingerprint: of the schema.
        presence: whether any event of it was read.
        events: the number of events that were read, failures included. Of versions with the same schema the newest counts
            them all.
        failures: the number of events that only the candidate cannot read.
    """

    number: int | None
    fingerprint: str
    presence: Presence
    events: int = 0
    failures: int = 0


class Evidence(_EvidenceModel):
    """What a port's stored events show about a candidate.

    Attributes:
        address: of the port.
        topic: the topic that was read.
        candidate: fingerprint of the candidate.
        events: the number of events that were read, failures included, tombstones excluded.
        tombstones: the number of null values that were read; no schema can break them.
        span: the number of offsets from the topic's first to its last event; compaction, transactions and a sample make the
            events fewer.
        sampled: whether events were left out.
        removed: the number of offsets before the first event that is left: retention, or a request, removed what they held.
        undecided: the number of offsets after the last event that can be read, which wait for an open transaction.
        failed: the number of events that failed, by cause.
        failures: by cause, partition and offset; at most `meshport.gate.proof.LISTED` of each cause.
        versions: the given versions in their order, then other schemas that events name.
    """

    address: AddressText
    topic: str
    candidate: str
    events: int = 0
    tombstones: int = 0
    span: int = 0
    sampled: bool = False
    removed: int = 0
    undecided: int = 0
    failed: dict[Cause, int] = Field(default_factory=dict)
    failures: tuple[UnreadableEvent, ...] = ()
    versions: tuple[VersionEvidence, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether the candidate reads every event that was read and that the present schema reads."""
        return not self.failed.get(Cause.CANDIDATE)

    @property
    def unseen(self) -> tuple[VersionEvidence, ...]:
        """The versions of which no event was read."""
        return tuple(each for each in self.versions if each.presence is not Presence.SEEN)

    def __str__(self) -> str:
        """Return the summary, then a line for each version without an event and for each of the first failures.

        Lines for what could not be read come first.
        """
        lines = (*self._unread(), *self._absent(), *self._examples())
        return "\n".join([self._summary(), *(f"  {line}" for line in lines)])

    def _summary(self) -> str:
        what = _counted(self.events, "stored event")
        if self.sampled:
            what = f"a sample of {what} from the {_counted(self.span, 'offset')}"
        broken = self.failed.get(Cause.CANDIDATE, 0)
        breaks = f"the candidate cannot read {broken:,} of them" if broken else "the candidate breaks none of them"
        others = ", ".join(f"{self.failed[each]:,} {each}" for each in Cause if each in self.failed and each.is_older)
        return f"{what} of {self.topic}: {breaks}" + (f" (not its doing: {others})" if others else "")

    def _unread(self) -> Iterator[str]:
        if self.removed:
            yield f"{_counted(self.removed, 'offset')} before them: removed from the log, nothing is proved of them"
        if self.undecided:
            yield f"{_counted(self.undecided, 'offset')} after them: hidden by an open transaction, nothing is proved of them"

    def _absent(self) -> Iterator[str]:
        for each in self.unseen:
            if each.presence is Presence.NONE_LEFT:
                yield f"version {each.number}: no stored event is left, so that the rules alone speak for it"
            else:
                yield f"version {each.number}: not seen in the sample"

    def _examples(self) -> Iterator[str]:
        for cause in self.failed:
            listed = [each for each in self.failures if each.cause is cause]
            for each in listed[:_MAX_EXAMPLES]:
                yield f"{cause}: {each}"
            if (more := self.failed[cause] - _MAX_EXAMPLES) > 0:
                yield f"{cause}: and {more:,} more"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
