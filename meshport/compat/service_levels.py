"""Service levels beside one another: which of two promises is the weaker one.

ODCS 3.1 ("Service-Level Agreement") leaves the list of properties open and names twelve, case-insensitive and with
two-letter synonyms; it puts no direction to them. The directions here are what the words mean: of a delay less is more,
of a share more is. Of a property that is not known here nothing is said but that it changed.
"""

from __future__ import annotations

from enum import Enum, auto
from fractions import Fraction
from typing import Final

from meshport.product import Product, ServiceLevel

_TIME: Final = "time"
_SHARE: Final = "percent"
# ODCS: "d, day, days for days; y, yr, years for years", the others likewise; in milliseconds.
_TIMES: Final[dict[str, int]] = {
    word: length
    for words, length in (
        ("ms millisecond milliseconds", 1),
        ("s sec second seconds", 1_000),
        ("m min minute minutes", 60_000),
        ("h hr hour hours", 3_600_000),
        ("d day days", 86_400_000),
        ("w week weeks", 604_800_000),
        ("y yr year years", 31_536_000_000),
    )
    for word in words.split()
}
_SYNONYMS: Final = {
    "av": "availability",
    "th": "throughput",
    "er": "errorrate",
    "re": "retention",
    "fy": "frequency",
    "ly": "latency",
    "td": "timetodetect",
    "tn": "timetonotify",
    "tr": "timetorepair",
}
# Delays, and `frequency`, which ODCS gives as the time from one update to the next.
_DELAYS: Final = frozenset(
    {
        "timeliness",
        "freshness",
        "latency",
        "intervalofchange",
        "frequency",
        "timetodetect",
        "timetonotify",
        "timetorepair",
    }
)
_CEILINGS: Final = frozenset({"errorrate"})
_FLOORS: Final = frozenset({"completeness", "availability", "accuracy", "validity", "throughput", "retention"})


class LevelChange(Enum):
    """What a promise is beside an earlier one.

    Attributes:
        KEPT: the same, though it may be in another unit.
        STRONGER: it promises more.
        WEAKER: it promises less, or in a unit that cannot be compared.
        OTHER: it is another one, and nobody here knows which promises more.
    """

    KEPT = auto()
    STRONGER = auto()
    WEAKER = auto()
    OTHER = auto()


def property_of(level: ServiceLevel) -> str:
    """The property by its one name: ODCS takes synonyms, in any case of letters."""
    word = level.property.strip().lower()
    return _SYNONYMS.get(word, word)


def path_of(level: ServiceLevel) -> str:
    """How a finding names a promise: `slaProperties.timeliness`, with the port's name after it where it is of one port."""
    return ".".join(filter(None, ("slaProperties", level.property, level.port)))


def promise_text(level: ServiceLevel) -> str:
    """A promise in words: `5 m`, `99.5 percent`."""
    return figure(level) + (f" {level.unit}" if level.unit else "")


def figure(level: ServiceLevel) -> str:
    """A promise's figure with all its digits, of which two that are weighed may differ in the last: `5`, `99.9999999`."""
    return repr(level.value).removesuffix(".0")


def promised(product: Product, port: str) -> dict[str, list[ServiceLevel]]:
    """What a product promises of one port, by property; a promise of that port takes the place of one of all ports."""
    found: dict[str, list[ServiceLevel]] = {}
    for name in (None, port):
        own: dict[str, list[ServiceLevel]] = {}
        for level in product.sla_properties:
            if level.port == name:
                own.setdefault(property_of(level), []).append(level)
        found |= own
    return found


def level_change(before: ServiceLevel, after: ServiceLevel) -> LevelChange:
    """What a promise became, of one property."""
    name = property_of(before)
    (family, was), (other, now) = _amount(before), _amount(after)
    if family == other and was == now:
        return LevelChange.KEPT
    # "99 percent in time" is a promise of timeliness too, and there more is more.
    less_is_more = name in _CEILINGS or (name in _DELAYS and family != _SHARE)
    if not less_is_more and name not in _FLOORS | _DELAYS:
        return LevelChange.OTHER
    if family != other:
        return LevelChange.WEAKER
    return LevelChange.STRONGER if (now < was) is less_is_more else LevelChange.WEAKER


def _amount(level: ServiceLevel) -> tuple[str, Fraction]:
    """The kind of a figure, and the figure in that kind's smallest unit."""
    # By its decimal text: 1.1 minutes are 66 seconds, which they are not in binary.
    value, unit = Fraction(repr(level.value)), (level.unit or "").strip().lower()
    if unit in _TIMES:
        return _TIME, value * _TIMES[unit]
    return (_SHARE if unit in {"percent", "%"} else unit), value
