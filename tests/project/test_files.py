"""Files as people have them: read rightly, or refused as a file in words of the file."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshport.errors import EncodeError, FileError
from meshport.files.columns import fitting_fields, new_names, rename_options
from meshport.files.ingest import Format, LineRefused, Reading, Row
from meshport.files.record_file import RecordFile
from meshport.files.row_mapper import RowMapper
from meshport.schema import parse_schema

CSV, JSON = Format.CSV, Format.JSONL


class Pipe(io.BytesIO):
    """Bytes that can be read once."""

    def seekable(self) -> bool:
        """Return false, as a pipe does."""
        return False


def read(content: bytes, form: Format = JSON, **options: Any) -> list[tuple[int, Any]]:
    """Each row's line and values, or its refusal; the file was seen to be readable before."""
    file = RecordFile(io.BytesIO(content), "file", Reading(form, **options))
    file.check()
    return taken(file)


def taken(file: RecordFile) -> list[tuple[int, Any]]:
    """Each row's line and values, or its refusal."""
    return [(row.line, row.values if isinstance(row, Row) else row.message) for row in file.rows()]


@pytest.mark.parametrize(
    "text",
    [
        '[{"a": 1},\n{"a": 2}]',
        ' \n[\n{"a": 1}\n,\r\n{"a": 2}\r\n]\n\n',
        '[{"a": 1},\r{"a": 2}]',
    ],
)
def test_an_array_is_read_as_its_elements(text: str) -> None:
    """One array is as many records, each with the line at which it begins, whatever ends the lines."""
    found = read(text.encode())
    assert [values for _, values in found] == [{"a": 1}, {"a": 2}]
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    assert [line for line, _ in found] == [
        next(at for at, each in enumerate(lines, 1) if f'"a": {number}' in each) for number in (1, 2)
    ]


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.sampled_from("xyz"), each, max_size=3),
    max_leaves=5,
)


@given(st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), max_size=4), st.sampled_from([None, 1]), st.booleans())
def test_an_array_holds_what_lines_hold(records: list[dict[str, Any]], indent: int | None, ascii_only: bool) -> None:
    """The same records, as an array of any layout, are read as from lines."""
    lines = "".join(json.dumps(record) + "\n" for record in records)
    array = json.dumps(records, indent=indent, ensure_ascii=ascii_only)
    assert [values for _, values in read(array.encode())] == [values for _, values in read(lines.encode())]


def test_a_large_array_is_read_as_it_comes() -> None:
    """The first record of an array of many is yielded after a small part of the file was read."""

    class Slow(io.RawIOBase):
        """An endless array."""

        asked = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            text = (b"[" if not self.asked else b",") + b'{"a": 1}'
            self.asked += 1
            buffer[: len(text)] = text
            return len(text)

    endless = Slow()
    rows = RecordFile(io.BufferedReader(endless), "file", Reading(JSON)).rows()
    assert [next(rows) for _ in range(3)]
    assert endless.asked < 20_000


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[{"a": 1},\n{"a": 2}', "line 2: the file ends within its array"),
        ('[{"a": 1},\n{"a": "2', "line 2: the file ends within its array"),
        ('[{"a": 1},\n{"a": tr', "line 2: is no JSON: Expecting value"),
        ("[", "line 1: the file ends within its array"),
        ('[{"a": 1},\n{"a": oops}, {"a": 3}]' + " " * 100, "line 2: is no JSON: Expecting value"),
        ('[{"a": 1},\n\n]', "line 3: is no JSON"),
        ('[{"a": 1}\n{"a": 2}]', "line 2: neither , nor ] follows"),
        ('[{"a": 1}]\n[{"a": 2}]', "line 2: more follows after the end of the array"),
        ('{\n "a": 1\n}\n', "line 1: an object begins here and goes on in the next line"),
        ("[" * 100_000, "line 1: is no JSON: it nests too deep"),
    ],
)
def test_json_that_cannot_be_read_is_refused_as_a_file(text: str, told: str) -> None:
    """An array that is cut off or broken, or an object over many lines, is refused before any record is used."""
    with pytest.raises(FileError) as refused:
        read(text.encode())
    assert str(refused.value).startswith(f"file: {told}")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ('{"a": 1, "a": 2}', "'a' is named twice"),
        ('{"a": NaN}', "NaN is no number of JSON"),
        ('{"a": [-Infinity]}', "-Infinity is no number of JSON"),
        (r'{"a": "\ud83d"}', r"\ud83d is half of a surrogate pair"),
        ('{"a": ' + "1" * 5000 + "}", "4300 digits"),
        ("[1]", "holds [1], not an object"),
        ("7", "holds 7, not an object"),
    ],
)
def test_a_value_that_is_no_record_costs_itself(value: str, told: str) -> None:
    """In an array and on a line alike, the value is named with its line, and those around it are read."""
    for text in (f'[{{"a": 1}},\n{value},\n{{"a": 3}}]', f'{{"a": 1}}\n{value}\n{{"a": 3}}\n'):
        first, (line, message), last = read(text.encode())
        assert (first, last) == ((1, {"a": 1}), (3, {"a": 3}))
        assert (line, told in message) == (2, True)


@pytest.mark.parametrize(
    ("content", "form", "options", "values"),
    [
        (gzip.compress(b'{"a": 1}\n', mtime=0) + gzip.compress(b'{"a": 2}\n', mtime=0), JSON, {}, [{"a": 1}, {"a": 2}]),
        ("a,b\n1,é\n".encode("utf-16"), CSV, {}, [{"a": "1", "b": "é"}]),
        ("a,b\n1,é\n".encode("utf-16-le"), CSV, {"encoding": "utf-16-le"}, [{"a": "1", "b": "é"}]),
        ("a,b\n1,é\n".encode("utf-32"), CSV, {}, [{"a": "1", "b": "é"}]),
        ("a,b\n1,é\n".encode("utf-8-sig"), CSV, {"encoding": "utf-8"}, [{"a": "1", "b": "é"}]),
        ("a,b\n1,é\n".encode("latin-1"), CSV, {"encoding": "latin-1"}, [{"a": "1", "b": "é"}]),
        (b"a,b\r1,x\r2,y\r", CSV, {}, [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]),
        (b'{"a": 1}\r{"a": 2}', JSON, {}, [{"a": 1}, {"a": 2}]),
        ("a\nx\u2028y\n".encode(), CSV, {}, [{"a": "x\u2028y"}]),
        ('{"a": "x\u2028y\x85z"}\n'.encode(), JSON, {}, [{"a": "x\u2028y\x85z"}]),
        (b"a,b\n1,x\0y\n", CSV, {}, [{"a": "1", "b": "x\0y"}]),
        (b"sep=;\na;b\n1;3,50\n", CSV, {}, [{"a": "1", "b": "3,50"}]),
        (b"a;b\n1;2\n", CSV, {"delimiter": ";"}, [{"a": "1", "b": "2"}]),
        (b"sep=,\na;b\n1;2\n", CSV, {"delimiter": ";"}, [{"a": "1", "b": "2"}]),
        (b"a,b,,\n1,2,,\n3,4\n", CSV, {}, [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]),
        (b"a,b\n1,2,,\n", CSV, {}, [{"a": "1", "b": "2"}]),
        (b"a,b,\n1,2,x\n", CSV, {}, ["line 2: has 'x' in a column without a name"]),
        (b"a,b\n1,2,x\n1\n", CSV, {}, ["line 2: has 3 cells, the header 2", "line 3: has 1 cells, the header 2"]),
        (b"a,b\n", CSV, {}, []),
        (b"", JSON, {}, []),
        (b" \n", JSON, {}, []),
        (b"[]", JSON, {}, []),
        (
            b"a,Order Id\nNA,-\n",
            CSV,
            {"na": frozenset({"NA", "-"}), "rename": {"Order Id": "b"}},
            [{"a": None, "b": None}],
        ),
        (b"a;b\n1\n", CSV, {"rename": {"a;b": "c"}}, [{"c": "1"}]),
        (b'{"A": {"A": ["NA", 1]}}', JSON, {"na": frozenset({"NA"}), "rename": {"A": "a"}}, [{"a": {"a": [None, 1]}}]),
    ],
)
def test_what_a_file_says_of_itself_is_followed(content: bytes, form: Format, options: Any, values: list[Any]) -> None:
    """Compression, marks of encodings, ends of lines, `sep=;` and nameless last columns have one rule each."""
    assert [each for _, each in read(content, form, **options)] == values
    assert [each for _, each in taken(RecordFile(Pipe(content), "pipe", Reading(form, **options)))] == values


@pytest.mark.parametrize(
    ("content", "form", "options", "told"),
    [
        (gzip.compress(b'{"a": 1}\n' * 9999, mtime=0)[:-9], JSON, {}, "its gzip data is damaged or cut off"),
        ("a,b\n".encode("utf-16-le"), CSV, {}, "every other byte is NUL.*\nhint: `--encoding utf-16-le`"),
        ("a,b\n".encode("utf-16"), CSV, {"encoding": "latin-1"}, "the byte order mark of UTF-16, which is not latin-1"),
        ("a,b\n".encode("utf-16")[:-1], CSV, {}, "it is not UTF-16"),
        (b"caf\xe9\n", CSV, {}, "line 1: the byte 0xe9 is not UTF-8"),
        (b'{"a": "\xed\xa0\xbd"}', JSON, {}, "line 1: the byte 0xed is not UTF-8"),
        (b"PK\x03\x04zip", CSV, {}, "is a zip archive, as .xlsx files are, not csv"),
        (b"PAR1\x15\x04", JSON, {}, "is a Parquet file"),
        (b"", CSV, {}, "it is empty; CSV begins with a line that names the columns"),
        (b"a;b\n1;2\n", CSV, {}, "line 1: has one column, 'a;b'.*\nhint: `--delimiter ';'`"),
        (b"a\tb\n", CSV, {}, r"separated by '\\t', not ','"),
        (b"a,b\n", CSV, {"delimiter": ";"}, "separated by ',', not ';'"),
        (b"a,,b,\n", CSV, {"rename": {"": "b"}}, "has the column 'b' twice after columns were renamed"),
        (b",,b\n", CSV, {}, "has two columns without a name"),
        (b"a,bee\n", CSV, {"rename": {"bea": "b"}}, "has no column 'bea' to rename\nhint: did you mean 'bee'"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_in_its_own_words(
    content: bytes, form: Format, options: Any, told: str
) -> None:
    """What is wrong with a file is said of the file, with the option that reads it where there is one."""
    with pytest.raises(FileError, match=told) as refused:
        read(content, form, **options)
    assert str(refused.value).startswith("file: ")


def test_a_pipe_yields_its_rows_up_to_the_error() -> None:
    """Of a pipe, which cannot be read twice, the rows before the error are yielded; its check reads nothing."""
    file = RecordFile(Pipe(b'{"a": 1}\n\xe9\n'), "stdin", Reading(JSON))
    file.check()
    rows: Iterator[Row | LineRefused] = file.rows()
    assert next(rows) == Row(1, {"a": 1})
    with pytest.raises(FileError, match="stdin: line 2: the byte 0xe9 is not UTF-8"):
        next(rows)


def test_names_of_columns_become_fields() -> None:
    """Every column gets an Avro name of its own, and a refusal names the options as they are pasted into a shell."""
    wrong = ["Order Id", "order-id", "Preis (€)", "50_50", "Größe", "日本", "", "it's"]
    names = new_names(wrong, {"order_id", "its"})
    assert list(names.values()) == ["Order_Id", "order_id_2", "Preis", "_50_50", "Groesse", "name", "name_2", "it_s"]
    assert rename_options({"Order Id": "b", "it's": "its"}) == """--rename 'Order Id=b' --rename 'it'"'"'s=its'"""
    assert fitting_fields(["Order Id", "zz", "dealy"], ["order_id", "delay", "b"], ["b"]) == {
        "Order Id": "order_id",
        "dealy": "delay",
    }


def test_all_names_of_a_nested_object_that_do_not_fit_are_named_at_once() -> None:
    """A nested object's unknown names are named with the renaming that would do, as columns are."""
    point = {"type": "record", "name": "P", "fields": [{"name": name, "type": "long"} for name in ("pos_x", "pos_y")]}
    fields = [{"name": "at", "type": point}]
    mapper = RowMapper(parse_schema(json.dumps({"type": "record", "name": "R", "fields": fields})))
    with pytest.raises(EncodeError, match="no fields 'pos x', 'pos-y' here") as refused:
        mapper.record(Row(1, {"at": {"pos x": 1, "pos-y": 2}}))
    assert refused.value.hint == "did you mean `--rename 'pos x=pos_x' --rename pos-y=pos_y`?"


def test_all_columns_that_do_not_fit_are_named_at_once() -> None:
    """A CSV header is checked as a whole: unknown columns with the renaming that would do, and fields without a column."""
    fields = [{"name": name, "type": "string"} for name in ("order_id", "total")]
    mapper = RowMapper(parse_schema(json.dumps({"type": "record", "name": "R", "fields": fields})), CSV)
    with pytest.raises(EncodeError, match="no fields 'Order Id', 'TOTAL'") as refused:
        mapper.check_columns(["Order Id", "TOTAL"])
    assert refused.value.hint == "did you mean `--rename 'Order Id=order_id' --rename TOTAL=total`?"
    with pytest.raises(EncodeError, match="no column for field 'total', which has no default"):
        mapper.check_columns(["order_id"])
    mapper.check_columns(["total", "order_id"])


def test_a_file_shows_how_far_it_is_read(tmp_path: Path) -> None:
    """The bytes of a file on disk are counted as they lie there, also where it is compressed; of a pipe none are."""
    file = tmp_path / "rows.jsonl.gz"
    file.write_bytes(gzip.compress(b"{}\n" * 10, mtime=0))
    with file.open("rb") as stream:
        records = RecordFile(stream, "rows", Reading(JSON))
        assert len(list(records.rows())) == 10
        assert records.bytes_read == (file.stat().st_size, file.stat().st_size)
    assert RecordFile(Pipe(b"{}"), "stdin", Reading(JSON)).bytes_read is None
