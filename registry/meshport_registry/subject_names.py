"""Names of subjects and numbers of their versions, as clients of Confluent's API write them."""

from __future__ import annotations

import re
from typing import Final

from meshport_registry.errors import InvalidSubject, InvalidVersion
from meshport_registry.values import MAX_INT

LATEST: Final = -1
"""The version number that means the newest version, as in Confluent's API."""
DEFAULT_CONTEXT: Final = ":.:"
"""The prefix that names the default context, the only one with subjects."""
GLOBAL_CONTEXT: Final = ":.__GLOBAL:"
"""Stands for the global context, whose level and mode apply where no other is set."""
_RESERVED: Final = frozenset({"__GLOBAL", "__EMPTY"})
_LONGEST_SUBJECT: Final = 500
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_JAVA_SPACE: Final = "".join(map(chr, range(0x21)))


def parse_subject(text: str) -> str:
    """Return the name of a subject to write to, without the prefix of the default context.

    Raises:
        InvalidSubject: the name is empty, reserved, unprintable or too long, or names another context.
    """
    name = read_subject(text)
    if not name or name in _RESERVED or len(name) > _LONGEST_SUBJECT or _UNPRINTABLE.search(name):
        raise InvalidSubject(
            f"the subject {name[:40]!r} is empty, reserved, unprintable or longer than {_LONGEST_SUBJECT} characters"
        )
    return name


def read_subject(text: str) -> str:
    """Return the name of a subject to read, without the prefix of the default context. No subject may have it.

    Raises:
        InvalidSubject: it names another context.
    """
    name = text.removeprefix(DEFAULT_CONTEXT)
    if name.startswith(":."):
        raise InvalidSubject(
            f"the subject {name[:80]!r} names a context", hint='this registry has the default context, "."'
        )
    return name


def parse_version(text: str) -> int:
    """Return a version number, or `LATEST` for `latest` and `-1`, as Confluent's `VersionId` does.

    Raises:
        InvalidVersion: the text is neither a number nor one of these two.
    """
    word = text.strip(_JAVA_SPACE)
    if word.lower() == "latest":
        return LATEST
    number = int(word) if re.fullmatch(r"[+-]?[0-9]{1,20}", word) else 0
    if number == LATEST or 1 <= number <= MAX_INT:
        return number
    raise InvalidVersion(
        f"The specified version '{text[:80]}' is not a valid version id.",
        hint='Allowed values are between [1, 2^31-1] and the string "latest"',
    )
