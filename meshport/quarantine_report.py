"""The newest quarantined and late events of a processor, as an observer reports them and a registry's API sends them.

They hold data of the processor's inputs. Where a contract says that these are confidential or restricted, the observer leaves out
the bytes, and reasons, which may quote them: neither the registry nor its database ever has these.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from meshport.address import Address
from meshport.product.input_port import AddressText

__all__ = ["LONGEST_REASON", "MOST_BYTES", "MOST_ENTRIES", "QuarantineEntry", "QuarantineReport"]

MOST_ENTRIES: Final = 20
"""The quarantined events of one report, and as many late ones."""
MOST_BYTES: Final = 1024
"""Bytes of a key or value that are reported; of a longer one the first."""
LONGEST_REASON: Final = 2000
"""Characters of a reason."""
_LONGEST_WHY: Final = 1000
_Hex = Annotated[str, Field(max_length=2 * MOST_BYTES, pattern="^([0-9a-f]{2})*$")]
_Name = Annotated[str, Field(max_length=300)]


class _Kept(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class QuarantineEntry(_Kept):
    """One event that a processor quarantined, or that came late.

    Attributes:
        late: whether it came later than the lateness allows.
        topic: that the processor read it from.
        partition: its partition there.
        offset: its offset there.
        stored_at: when it was stored there; None where that is not known.
        source: the port that has the topic, with its major; None where the mesh has no such port.
        window: the name of a window whose result could not be written, "" where it is withheld; then key and value are not those
            of an event. None of an event.
        error: the class of the error; None of a late event.
        reason: in words; "" where it is withheld.
        key: the first bytes of the key, as hexadecimal text; None where there is none, or it is withheld.
        value: the first bytes of the value, likewise.
        key_bytes: the length of the key; None where there is none.
        value_bytes: the length of the value; None where there is none.
        redriven: whether it was redriven since.
        withheld: why key and value are not shown, in words; "" where they are.
    """

    late: bool = False
    topic: _Name
    partition: int
    offset: int
    stored_at: AwareDatetime | None = None
    source: AddressText | None = None
    window: _Name | None = None
    error: _Name | None = None
    reason: str = Field(default="", max_length=LONGEST_REASON)
    key: _Hex | None = None
    value: _Hex | None = None
    key_bytes: int | None = None
    value_bytes: int | None = None
    redriven: bool = False
    withheld: str = Field(default="", max_length=_LONGEST_WHY)


class QuarantineReport(_Kept):
    """The newest events that the processor of a port quarantined, and the newest late ones.

    Attributes:
        address: of the port, with its major.
        at: when they were read.
        sources: the products whose data reasons may quote.
        withheld: why reasons are not shown, in words; "" where they are.
        entries: newest first, at most `MOST_ENTRIES` of each kind.
    """

    address: AddressText
    at: AwareDatetime
    sources: tuple[AddressText, ...] = Field(default=(), max_length=100)
    withheld: str = Field(default="", max_length=_LONGEST_WHY)
    entries: tuple[QuarantineEntry, ...] = Field(default=(), max_length=2 * MOST_ENTRIES)

    @property
    def products(self) -> frozenset[Address]:
        """The products whose data it may have."""
        found = {each.source.of_product for each in self.entries if each.source is not None}
        return frozenset(found | {each.of_product for each in self.sources})

    def for_reader_of(self, readable: Collection[Address]) -> QuarantineReport:
        """Return the report without the data of products that the caller may not read.

        Args:
            readable: those of `products` that the caller may read.
        """
        closed = sorted(self.products - set(readable))
        if not closed:
            return self
        why = f"you may not read {', '.join(map(str, closed))}"[:_LONGEST_WHY]
        entries = tuple(self._hiding(each, set(closed), why) for each in self.entries)
        return self.model_copy(update={"withheld": self.withheld or why, "entries": entries})

    @staticmethod
    def _hiding(entry: QuarantineEntry, closed: Collection[Address], why: str) -> QuarantineEntry:
        """Return an entry without its reason, and without its bytes where they are of a product that is closed."""
        hidden: dict[str, object] = {"reason": "", "window": None if entry.window is None else ""}
        source = None if entry.source is None else entry.source.of_product
        if entry.window is not None or source is None or source in closed:
            own = f"you may not read {source}" if source in closed else why
            hidden |= {"key": None, "value": None, "withheld": entry.withheld or own}
        return entry.model_copy(update=hidden)
