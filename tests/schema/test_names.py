"""Names beyond ASCII: those that Java's library takes, and none by accident of another language's idea of a letter."""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import pytest

from meshport.codec import codec_for
from meshport.compat.resolution import check
from meshport.errors import SchemaError
from meshport.schema import parse_schema

SIZE = "größe"
HAN = "한"  # composed: one letter; decomposed: three letters


def _record(*names: str, **more: Any) -> str:
    return json.dumps(
        {"type": "record", "name": "R", "fields": [{"name": each, "type": "int"} for each in names], **more}
    )


# As Avro 1.12.1 for Java answers.
@pytest.mark.parametrize("name", [SIZE, "ÅPEN", "名前", "_é", "a٣", "ª", "ǅ", HAN, unicodedata.normalize("NFD", HAN)])
def test_letters_and_digits_of_any_script_make_names(name: str) -> None:
    """Fields, types and symbols have them."""
    symbols = {"type": "enum", "name": name, "symbols": [name]}
    assert parse_schema(_record(name)).field_names == (name,)
    assert parse_schema(json.dumps(symbols)).name == name


@pytest.mark.parametrize(
    ("name", "character"),
    [
        (unicodedata.normalize("NFD", SIZE), "U+0308 (COMBINING DIAERESIS)"),
        ("٣a", "U+0663 (ARABIC-INDIC DIGIT THREE)"),
        ("a²", "U+00B2 (SUPERSCRIPT TWO)"),
        ("aⅣ", "U+2163 (ROMAN NUMERAL FOUR)"),
        ("a‿b", "U+203F (UNDERTIE)"),
        ("a\u200d", "U+200D (ZERO WIDTH JOINER)"),
        ("a\U00020000", "U+20000 (CJK UNIFIED IDEOGRAPH-20000)"),
    ],
)
def test_other_characters_are_refused_by_name(name: str, character: str) -> None:
    """Two names may look alike, so the error says which character it is."""
    with pytest.raises(SchemaError, match="is no Avro name") as refused:
        parse_schema(_record(name))
    assert character in str(refused.value.hint)


def test_two_spellings_of_one_text_are_two_names() -> None:
    """Composed and decomposed Hangul stand beside one another, encode apart, and one does not resolve to the other."""
    composed, decomposed = HAN, unicodedata.normalize("NFD", HAN)
    both = parse_schema(_record(composed, decomposed))
    record = {composed: 1, decomposed: 2}
    codec = codec_for(both)
    assert codec.decode(codec.encode(record)) == record
    assert parse_schema(_record(composed)).fingerprint != parse_schema(_record(decomposed)).fingerprint
    assert check(parse_schema(_record(composed)), parse_schema(_record(decomposed)))


@pytest.mark.parametrize("namespace", ["my-team.orders", "de.läden", "a.1b"])
def test_a_namespace_may_have_what_java_let_pass(namespace: str) -> None:
    """Java's library checked the last part of a full name only, so there are such namespaces; the name itself is checked."""
    assert parse_schema(_record("a", namespace=namespace)).name == f"{namespace}.R"
    with pytest.raises(SchemaError, match="is no Avro name"):
        parse_schema(_record("a", name=f"{namespace}.R-1"))


@pytest.mark.parametrize("namespace", ["a..b", "a.", ".a", "a b", "a/b", 'a"', "a'", "a\n"])
def test_a_namespace_has_no_other_characters(namespace: str) -> None:
    """Nothing that could be taken for the end of a name, and no empty part."""
    with pytest.raises(SchemaError, match="is no Avro name"):
        parse_schema(_record("a", namespace=namespace))
