"""An aggregation of a group's records, as product.yaml writes it: `count()` or `<kind>(<field>)`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, Self, cast, get_args

from meshport.product.field_path import PATH

AggregationKind = Literal["count", "sum", "mean", "min", "max", "first", "last", "distinct", "collect"]

AGGREGATION_FORMS: Final = ", ".join(
    "count()" if kind == "count" else f"{kind}(field)" for kind in get_args(AggregationKind)
)
"""Every form of an aggregation, for messages."""

_TEXT: Final = re.compile(rf"([a-z]+)\(\s*({PATH})?\s*\)")


@dataclass(frozen=True, slots=True)
class Aggregation:
    """One aggregation: what is computed, and of which field.

    Attributes:
        kind: the function.
        field: the field that it reads, one within a record by its path; None for `count`, which reads none.
        text: as written, blanks included: the digest of a stored state is made of it.
    """

    kind: AggregationKind
    field: str | None = None
    text: str = ""

    def __post_init__(self) -> None:
        """Fill in the text of an aggregation that was not parsed."""
        if not self.text:
            object.__setattr__(self, "text", f"{self.kind}({self.field or ''})")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `count()`, `sum(cents)` and the like.

        Raises:
            ValueError: the text is no aggregation.
        """
        found = _TEXT.fullmatch(text.strip())
        if not found or found[1] not in get_args(AggregationKind) or (found[2] is None) != (found[1] == "count"):
            raise ValueError(f"{text!r} is no aggregation; use one of {AGGREGATION_FORMS}")
        return cls(cast("AggregationKind", found[1]), found[2], text)

    def __str__(self) -> str:
        return self.text
