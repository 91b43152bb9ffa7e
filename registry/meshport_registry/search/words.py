"""Words of a text, as the search compares them: in lower case, without accents, parts of a name apart."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

LONGEST: Final = 40
"""Characters of a word; a longer one is cut."""
# `artistId` and `HTTPServer` are two words each; digits stay with the letters before them.
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD: Final = re.compile(r"[^\W_]+")


def words(text: str) -> tuple[str, ...]:
    """Return the words of a text, in order."""
    return _of_a_name(text) if len(text) <= LONGEST else _words(text)


def _words(text: str) -> tuple[str, ...]:
    if text.isascii():
        plain = text
    else:
        apart = unicodedata.normalize("NFKD", text)
        plain = "".join(each for each in apart if not unicodedata.combining(each))
    return tuple(word[:LONGEST] for word in _WORD.findall(_HUMP.sub(" ", plain).lower()))


_of_a_name = lru_cache(maxsize=20_000)(_words)  # products share the names of fields
