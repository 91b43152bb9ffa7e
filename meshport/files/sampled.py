"""What `new` says about the columns of a sample: those that are text although most of their values are not."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from meshport.files.ingest import said
from meshport.files.scalars import PLAIN_NUMBER, number_for_people

Sampled = tuple[int, Any]
"""The line of a row, and a column's value in it."""

# Up to so many different texts among other values are taken for names of a missing value.
_FEW: Final = 3
_WORDS: Final = {
    "long": "whole numbers",
    "double": "numbers",
    "boolean": "true or false",
    "date": "days",
    "timestamp-millis": "times",
    "timestamp-micros": "times",
    "beyond": "numbers that are too large for a long or a double",
}


class SampledColumn:
    """The values of one column of a sample, and the kind of each.

    Args:
        path: of the column: `stats.height`.
        values: without nulls, each with its line.
        kinds: of the values.
    """

    def __init__(self, path: str, values: Sequence[Sampled], kinds: Sequence[str]) -> None:
        self._path = path
        self._values = values
        self._kinds = kinds

    def na_options(self) -> str | None:
        """Return the `--na` options that leave no text among the other values; None if there are many texts, or only texts."""
        texts = Counter(value for (_, value), kind in self._each() if kind == "string")
        if not texts or len(texts) > _FEW or texts.total() == len(self._values) or any(map(number_for_people, texts)):
            return None
        options = " ".join(f"--na {shlex.quote(text)}" for text in texts)
        return f"if {'that stands' if len(texts) == 1 else 'those texts stand'} for a missing value: `{options}`"

    def why_text(self) -> str | None:
        """Return a note on a column that becomes text although not all of its values are text, or all are numbers for people."""
        counts = Counter(self._kinds)
        counts.pop("string", 0)
        if not counts:
            line, value = self._values[0]
            if all(number_for_people(text) for _, text in self._values):
                return f"{self._path} is text: {said(value)} (line {line}) is no number here; {PLAIN_NUMBER}"
            return None
        if "beyond" in counts and "string" not in self._kinds:
            line, value = self.of_kind("beyond")
            return f"{self._path} is text: {said(value)} (line {line}) is too large for a long or a double"
        (kind, count), total = counts.most_common(1)[0], len(self._values)
        # A text says more than a number of another kind.
        rest = [value for value, of in self._each() if of != kind]
        line, value = next((value for value, of in self._each() if of == "string"), rest[0])
        note = (
            f"{self._path} is text: {count} of {total} values are {_WORDS[kind]}, but not {said(value)} (line {line})"
        )
        hint = PLAIN_NUMBER if number_for_people(str(value)) else self.na_options()
        return f"{note}; {hint}" if hint else note

    def of_kind(self, kind: str) -> Sampled:
        """Return the first value of a kind."""
        return next(value for value, of in self._each() if of == kind)

    def _each(self) -> Iterator[tuple[Sampled, str]]:
        return zip(self._values, self._kinds, strict=True)
