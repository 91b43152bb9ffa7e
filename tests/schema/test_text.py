"""The text of a schema: what Java's library reads beyond JSON, and that nothing within a string is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from meshport.errors import SchemaError
from meshport.schema import MAX_CANONICAL_BYTES, load_schema, parse_common, parse_schema
from meshport.schema.text import read_json

PLAIN = """{"type": "record", "name": "R",
 "fields": [
  {"name": "a", "type": "string", "doc": "see http://x/*y*/ and \\"//\\""},
  {"name": "b", "type": "int"}]}
"""


@pytest.mark.parametrize(
    "written",
    [
        "/*\n * Licensed to somebody\n */\n" + PLAIN,
        PLAIN + "// the end",
        PLAIN.replace('"int"}', '"int" /* /* "}" */ } // "b\n'),
        "\ufeff" + PLAIN,
        "\ufeff// first\r\n/**/" + PLAIN.replace("\n", "\r\n"),
    ],
)
def test_comments_and_a_byte_order_mark_are_set_aside(written: str) -> None:
    """The schema is the one without them, its docs untouched; the text that is kept for other parsers has none of them."""
    schema = parse_schema(written)
    assert schema == parse_schema(PLAIN)
    assert schema.fields[0]["doc"] == 'see http://x/*y*/ and "//"'
    assert schema.written is None
    assert parse_schema(PLAIN).written == PLAIN


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('/* one\ntwo */ {"type": "record",\n  // three\n  "name": R}', "line 4 column 11"),
        ('\ufeff{"type": }', "line 1 column 11"),
        ('{"type":\n "string"} /* never', "the comment that begins in line 2 does not end"),
        ('{"type": "string"} /*/', "the comment that begins in line 1 does not end"),
        ('{"type": "string"} # a remark', "line 1 column 20"),
        ('{"type": "string} // "', "line 1 column"),
    ],
)
def test_an_error_names_the_line_of_the_file(written: str, message: str) -> None:
    """Comments before it count as the lines and columns that they take."""
    with pytest.raises(SchemaError, match=message):
        parse_schema(written)


def test_a_file_and_a_shared_type_may_begin_with_a_licence(tmp_path: Path) -> None:
    """Contracts and the types of schemas/common/ are read alike."""
    file = tmp_path / "r.avsc"
    file.write_bytes(b"\xef\xbb\xbf/* licence */\n" + PLAIN.encode())
    assert load_schema(file) == parse_schema(PLAIN)
    common = parse_common([("r.avsc", file.read_text(encoding="utf-8"))])
    assert list(common.named) == ["R"]


@pytest.mark.parametrize("hostile", ['"' + '\\"' * 500_000, "/*" * 500_000, '"' * 999_999, '"/*' * 300_000])
def test_a_text_that_never_ends_is_read_in_linear_time(hostile: str) -> None:
    """A megabyte of openings ends with an error, which it would not in the lifetime of a request if each were read anew."""
    with pytest.raises(ValueError, match=r"line 1|does not end"):
        read_json(hostile)


def _documented(size: int) -> str:
    doc = "d" * size
    return json.dumps({"type": "record", "name": "R", "doc": doc, "fields": [{"name": "a", "type": "int"}]})


def test_white_space_and_comments_do_not_count_against_a_schemas_size() -> None:
    """A schema of 90 kB in canonical form is taken with a megabyte around it; a canonical form has a megabyte at most."""
    small = _documented(90_000)
    assert parse_schema("/*" + " " * 500_000 + "*/" + small + "\n" * 500_000) == parse_schema(small)
    with pytest.raises(SchemaError, match="bytes without white space") as refused:
        parse_schema(_documented(MAX_CANONICAL_BYTES))
    assert (refused.value.rule, refused.value.hint) == ("DECODING_BOMB", "at most 1048576")
    with pytest.raises(SchemaError, match="has 2100101 bytes"):
        parse_schema(small + " " * (2_100_101 - len(small)))
