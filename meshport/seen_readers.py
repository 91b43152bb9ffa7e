"""The readers of a port as they are seen: those that declare it, and those that read it or ask for it undeclared.

A reader is seen in five ways: its consumer group commits other offsets, or has members (as the observer reports the groups of the
brokers); a `Subscriber` resolves the address with its group; a caller resolves the address, or fetches the schema, by itself. The
first three are reading. The last two may be the beginning of reading, or a look.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final
from urllib.parse import parse_qs, urlencode

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from meshport.address import PROCESSOR_GROUPS
from meshport.newer import OrNewer
from meshport.product.day import Day
from meshport.product.descriptor import Archetype, Status
from meshport.product.input_port import AddressText

__all__ = [
    "READER_HEADER",
    "SILENT_AFTER",
    "GroupReport",
    "GroupReports",
    "LineReaders",
    "ReaderKind",
    "ReaderState",
    "SeenReader",
    "SubscriberName",
    "UndeclaredReader",
    "product_of_group",
]

READER_HEADER: Final = "meshport-reader"
"""The header in which a subscriber names itself where it resolves an address."""
SILENT_AFTER: Final = timedelta(days=30)
"""A reader that was not seen for so long reads nothing."""
MOST_GROUPS: Final = 500
"""The most consumer groups of a line that one report has."""
LONGEST_NAME: Final = 256
"""Characters of the name of a group, a caller or a client."""
_READ: Final = "read"
_HAD_MEMBERS: Final = "had members"
_SUBSCRIBED: Final = "subscribed"
_READING: Final = frozenset({_READ, _HAD_MEMBERS, _SUBSCRIBED})
_LONGEST_HEADER: Final = 1500
_MOST_FIELDS: Final = 200

ShownName = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]


class ReaderKind(StrEnum):
    """What the name of a reader is."""

    PRODUCT = "product"
    """`domain/product`, which declares the port or was granted it."""
    GROUP = "group"
    """A consumer group."""
    CALLER = "caller"
    """A person or service, by the name under which the registry knows it."""
    CLIENT = "client"
    """A program that shows no login, by its `client.id` or its `User-Agent`."""


class ReaderState(StrEnum):
    """Whether a reader was seen lately."""

    SEEN = "seen"
    SILENT = "silent"
    """It was not seen for 30 days, in all of which the port was observed."""
    UNOBSERVED = "unobserved"
    """It was not seen, and the port is not observed for 30 days yet, or not any more."""


class _Seen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class SeenReader(_Seen):
    """A reader of a line, declared or only seen.

    Attributes:
        name: `domain/product`, or the name of a group, a caller or a client.
        kind: what `name` is.
        declared: whether it is a product with an input port that leads here, or the owner granted it the port.
        state: whether it was seen lately.
        reads: the port as a product declares it.
        fields: those that it declares or reads by its declared steps; of others those of the reader schema with which it
            subscribed. Empty for all of them.
        owner: of the product.
        contact: of the product's owner.
        archetype: of the product.
        status: of the product.
        groups: the consumer groups by which it was seen.
        caller: the known caller that subscribed with this group.
        first_seen: when it was seen first, in whatever way.
        read_at: when its group was last seen to have committed other offsets.
        members_at: when its group last had a member that is assigned a partition.
        subscribed_at: when it last resolved the address to subscribe.
        resolved_at: when it last resolved the address otherwise.
        schema_at: when it last fetched a schema of the line by its id.
    """

    name: str
    kind: OrNewer[ReaderKind]
    declared: bool
    state: OrNewer[ReaderState]
    reads: AddressText | None = None
    fields: tuple[str, ...] = ()
    owner: str | None = None
    contact: str | None = None
    archetype: OrNewer[Archetype] | None = None
    status: OrNewer[Status] | None = None
    groups: tuple[str, ...] = ()
    caller: str | None = None
    first_seen: datetime | None = None
    read_at: datetime | None = None
    members_at: datetime | None = None
    subscribed_at: datetime | None = None
    resolved_at: datetime | None = None
    schema_at: datetime | None = None

    @property
    def last_seen(self) -> datetime | None:
        """When it was seen last, in whatever way; None if it never was."""
        return max((at for _, at in self.ways()), default=None)

    @property
    def reads_lately(self) -> bool:
        """Whether it was seen to read lately, and not only to ask."""
        return self.state is ReaderState.SEEN and bool(self.read_at or self.members_at or self.subscribed_at)

    def ways(self) -> Iterator[tuple[str, datetime]]:
        """Yield in which ways it was seen, in words, each with the last time."""
        for words, at in (
            (_READ, self.read_at),
            (_HAD_MEMBERS, self.members_at),
            (_SUBSCRIBED, self.subscribed_at),
            ("resolved the address", self.resolved_at),
            ("fetched the schema", self.schema_at),
        ):
            if at is not None:
                yield words, at

    @property
    def newest(self) -> tuple[str, datetime] | None:
        """In which way it was seen last, and when; of two on one day (UTC), the one that says more. None if it never was."""
        return max(self.ways(), key=lambda each: each[1].date(), default=None)

    def words(self) -> str:
        """Return when it was seen and how: `read 2026-11-28`, `nothing for 30 days`, `not observed yet`."""
        newest = self.newest
        last = "" if newest is None else f"{newest[0]} {newest[1]:%Y-%m-%d}"
        match self.state:
            case ReaderState.SEEN:
                return last
            case ReaderState.SILENT:
                return f"nothing for {SILENT_AFTER.days} days" + (f", {last}" if last else "")
            case _:
                return last or "not observed yet"


class LineReaders(_Seen):
    """The readers of a line.

    Attributes:
        address: of the line.
        observed_since: since when an observer has reported its consumer groups, without a longer gap; None if none did.
        observed_at: when it did last.
        readers: those that are declared first, then the others, each by name.
    """

    address: AddressText
    observed_since: datetime | None = None
    observed_at: datetime | None = None
    readers: tuple[SeenReader, ...] = ()


class GroupReport(BaseModel):
    """A consumer group on the brokers, as the observer reports it for a line.

    Attributes:
        name: of the group.
        committed: the sum of the offsets that it has committed in the topics of the line; None if it has committed none.
        live: whether a member is assigned a partition of them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ShownName
    committed: int | None = Field(default=None, ge=0, lt=2**63)
    live: bool = False


class GroupReports(BaseModel):
    """The body of a report: the consumer groups that read a line, all of them.

    Attributes:
        at: when they were looked at.
        groups: by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: AwareDatetime
    groups: tuple[GroupReport, ...] = Field(default=(), max_length=MOST_GROUPS)


class UndeclaredReader(_Seen):
    """A reader that a change may break, although no product declares it.

    Attributes:
        name: of the group, caller or client.
        kind: what `name` is.
        how: what it was seen to do last: `read`, `subscribed`, `fetched the schema`, ...
        last_seen: the day (UTC) of that.
        fields: of the reader schema with which it subscribed; empty where that is not known.
    """

    name: str
    kind: OrNewer[ReaderKind]
    how: str
    last_seen: Day
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        fields = f"; fields {', '.join(self.fields)}" if self.fields else ""
        does = "read by" if self.how in _READING else "asked for by"
        return f"{does} {self.kind} {self.name!r} (not declared; last {self.how} {self.last_seen}{fields})"


class SubscriberName(BaseModel):
    """How a subscriber names itself at the registry, in the header `meshport-reader`.

    Attributes:
        group: its consumer group.
        client: the `client.id` of its connection to Kafka, where it has no group.
        fields: of the schema that it reads with; empty for the schema of each event.
    """

    model_config = ConfigDict(frozen=True)

    group: str | None = None
    client: str | None = None
    fields: tuple[str, ...] = ()

    def header(self) -> str:
        """Return the value of the header: ASCII, as the query of a URL has its values. Too many fields are left out."""
        named = [(name, each) for name, each in (("group", self.group), ("client", self.client)) if each]
        whole = urlencode([*named, *(("field", each) for each in self.fields)])
        fits = len(self.fields) <= _MOST_FIELDS and len(whole) <= _LONGEST_HEADER
        return whole if fits else urlencode(named)

    @classmethod
    def read(cls, header: str) -> SubscriberName:
        """Return what a header says; what is none, or too long, says nothing."""
        if len(header) > _LONGEST_HEADER:
            return cls()
        try:
            found = parse_qs(header, max_num_fields=_MOST_FIELDS + 2)
        except ValueError:
            return cls()
        group, client = (_plain(found.get(name, [""])[0]) for name in ("group", "client"))
        fields = tuple(each for each in found.get("field", ()) if _plain(each))
        return cls(group=group, client=client, fields=fields[:_MOST_FIELDS])


def product_of_group(group: str) -> str | None:
    """Return the product that a consumer group is named after, as `domain/product`; None where its name has no such form.

    The group of a processor is `meshport.process.<domain>.<product>.<port>...`. A product that reads in its own code has groups
    whose names begin with `<domain>.<product>`, as its ACLs ask.
    """
    domain, _, rest = group.removeprefix(PROCESSOR_GROUPS).partition(".")
    product = rest.partition(".")[0]
    return f"{domain}/{product}" if domain and product else None


def _plain(text: str) -> str | None:
    return text if 0 < len(text) <= LONGEST_NAME and text.isprintable() else None
