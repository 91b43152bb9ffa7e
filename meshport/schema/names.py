"""Names of types, fields and symbols: those that a schema may have, and those that every Avro library reads.

The specification (1.12, "Names") has letters of ASCII, digits and `_`. Java's library, and with it Confluent's registry, takes
letters and digits of any script (`NameValidator.UTF_VALIDATOR`), so schemas with such names are registered everywhere. Two
spellings of one text, composed and decomposed (Unicode NFC and NFD), are two names; nothing here normalizes one.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Java's Character.isLetter and isLetterOrDigit, given one UTF-16 unit: no letter beyond U+FFFF passes there.
_LETTERS: Final = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo"})
_DIGITS: Final = frozenset({"Nd"})
_BASIC: Final = 0xFFFF
# Letters that do not come apart into one of ASCII and an accent, and the umlauts, which are spelled out.
_SPELLED: Final = {
    **{
        "ä": "ae",
        "ö": "oe",
        "ü": "ue",
        "ß": "ss",
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "ð": "d",
        "þ": "th",
        "ł": "l",
        "đ": "d",
    },
    **{
        "Ä": "Ae",
        "Ö": "Oe",
        "Ü": "Ue",
        "ẞ": "SS",
        "Æ": "Ae",
        "Œ": "Oe",
        "Ø": "O",
        "Ð": "D",
        "Þ": "Th",
        "Ł": "L",
        "Đ": "D",
    },
}


def is_plain_name(text: str) -> bool:
    """Return whether a text is a name by the specification, which every library reads."""
    return _PLAIN.fullmatch(text) is not None


def is_plain_full_name(text: str) -> bool:
    """Return whether a full name, its namespace included, is one by the specification."""
    return all(map(is_plain_name, text.split(".")))


def is_name(text: str) -> bool:
    """Return whether a text is a name that Java's library takes: letters and digits of any script, and `_`."""
    return is_plain_name(text) or _stray(text) is None


def is_full_name(text: str) -> bool:
    """Return whether a full name may be used.

    A part of its namespace may have hyphens and begin with a digit: Java's library checked only the last part until 1.12.0.
    """
    *namespace, name = text.split(".")
    return is_name(name) and all(
        is_plain_name(part) or (part and all(each in "_-" or _is_letter_or_digit(each) for each in part))
        for part in namespace
    )


def name_hint(text: str) -> str:
    """Return what a name is made of, and which character of this one is not; two names may look alike on a screen."""
    rule = "letters, digits and _, a letter or _ first"
    stray = _stray(text)
    if stray is None or stray.isascii():
        return rule
    return f"{rule}; U+{ord(stray):04X} ({unicodedata.name(stray, 'no character')}) is not allowed here"


def plain_spelling(text: str) -> str:
    """Return a name by the specification that resembles another one: accents are left off, other letters become `_`."""
    spelled = "".join(_SPELLED.get(each, each) for each in text)
    bare = "".join(each for each in unicodedata.normalize("NFKD", spelled) if not unicodedata.combining(each))
    plain = re.sub(r"[^A-Za-z0-9_]", "_", bare)
    if not plain.strip("_"):
        return "name"
    return f"_{plain}" if plain[:1].isdigit() else plain


def _stray(text: str) -> str | None:
    """Return the first character that a name may not have there, "" for an empty name, or None."""
    if not text:
        return ""
    if not (text[0] == "_" or _is_in(text[0], _LETTERS)):
        return text[0]
    return next((each for each in text if not (each == "_" or _is_letter_or_digit(each))), None)


def _is_letter_or_digit(character: str) -> bool:
    return _is_in(character, _LETTERS | _DIGITS)


def _is_in(character: str, categories: frozenset[str]) -> bool:
    return ord(character) <= _BASIC and unicodedata.category(character) in categories
