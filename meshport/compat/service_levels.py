"""The comparison of service levels: which of two promises is weaker.

ODCS 3.1 ("Service-Level Agreement") leaves the list of properties open and names twelve, in any case of letters and with
two-letter synonyms, but without a direction. The directions here follow from the words: of a delay less is better, of a
share more. For an unknown property the comparison reports only that it changed.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from fractions import Fraction
from typing import Final

from meshport.product import Product, ServiceLevel

_TIME: Final = "time"
_SHARE: Final = "percent"
# ODCS: "d, day, days for days; y, yr, years for years", the others likewise; in milliseconds.
TIME_MS: Final[dict[str, int]] = {
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
_CEILINGS: Final = frozenset({"errorrate", "drift", "maximumvolume", "volumedrift"})
_FLOORS: Final = frozenset(
    {"completeness", "availability", "accuracy", "validity", "uniqueness", "throughput", "retention", "volume"}
)
_RATE_UNIT: Final = "events per ms"
# "events/s", "events per minute", "1/h"
_RATE: Final = re.compile(r"(?:1|events?|records?|messages?)?\s*(?:/|per\b)\s*(?P<time>[a-z]+)")


class LevelChange(Enum):
    """What a promise is in relation to an earlier one.

    Attributes:
        KEPT: the same, possibly in another unit.
        STRONGER: it promises more.
        WEAKER: it promises less, or in a unit that cannot be compared.
        OTHER: it differs, and the property is unknown, so that its direction is unknown too.
    """

    KEPT = auto()
    STRONGER = auto()
    WEAKER = auto()
    OTHER = auto()


def property_of(level: ServiceLevel) -> str:
    """Return the property by its full name in lower case; ODCS accepts synonyms in any case."""
    word = level.property.strip().lower()
    return _SYNONYMS.get(word, word)


def path_of(level: ServiceLevel) -> str:
    """Return the path of a promise in a finding: `slaProperties.timeliness`, followed by the port for a promise of one port."""
    return ".".join(filter(None, ("slaProperties", level.property, level.port)))


def promise_text(level: ServiceLevel) -> str:
    """Return a promise in words: `5 m`, `99.5 percent`."""
    return figure(level) + (f" {level.unit}" if level.unit else "")


def figure(level: ServiceLevel) -> str:
    """Return a promise's figure with all its digits, since two compared figures may differ in the last: `5`, `99.9999999`."""
    return repr(level.value).removesuffix(".0")


def promised(product: Product, port: str) -> dict[str, list[ServiceLevel]]:
    """Return what a product promises of one port, by property; a promise of that port overrides one of all ports."""
    found: dict[str, list[ServiceLevel]] = {}
    for name in (None, port):
        own: dict[str, list[ServiceLevel]] = {}
        for level in product.sla_properties:
            if level.port == name:
                own.setdefault(property_of(level), []).append(level)
        found |= own
    return found


def level_change(before: ServiceLevel, after: ServiceLevel) -> LevelChange:
    """Return what a promise of one property became."""
    name = property_of(before)
    (family, was), (other, now) = _amount(before), _amount(after)
    if family == other and was == now:
        return LevelChange.KEPT
    # "99 percent in time" is a promise of timeliness too, for which more is better.
    less_is_more = name in _CEILINGS or (name in _DELAYS and family != _SHARE)
    if not less_is_more and name not in _FLOORS | _DELAYS:
        return LevelChange.OTHER
    if family != other:
        return LevelChange.WEAKER
    return LevelChange.STRONGER if (now < was) is less_is_more else LevelChange.WEAKER


def delay_ms(level: ServiceLevel) -> float | None:
    """Return a figure that is a length of time in milliseconds; None where its unit is none of time."""
    family, amount = _amount(level)
    return float(amount) if family == _TIME else None


def share(level: ServiceLevel) -> float | None:
    """Return a figure that is a share, 0 to 1; None where its unit is not percent."""
    family, amount = _amount(level)
    return float(amount) / 100 if family == _SHARE else None


def rate_of(level: ServiceLevel) -> tuple[float, int] | None:
    """Return a figure that is a number of events in a time, and that time in milliseconds; None where its unit is no rate."""
    length = _rate_ms((level.unit or "").strip().lower())
    return None if length is None else (level.value, length)


def _rate_ms(unit: str) -> int | None:
    found = _RATE.fullmatch(unit)
    return TIME_MS.get(found["time"]) if found else None


def _amount(level: ServiceLevel) -> tuple[str, Fraction]:
    """Return the kind of a figure, and the figure in that kind's smallest unit."""
    # The decimal text is what the author wrote; as a binary fraction, 1.1 minutes are not exactly 66 seconds.
    value, unit = Fraction(repr(level.value)), (level.unit or "").strip().lower()
    if unit in TIME_MS:
        return _TIME, value * TIME_MS[unit]
    if (length := _rate_ms(unit)) is not None:
        return _RATE_UNIT, value / length
    return (_SHARE if unit in {"percent", "%"} else unit), value
