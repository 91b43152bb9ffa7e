"""`publish`, `tail`, `replay`, `resolve`, `search` and `readers` on a mesh that runs."""

from __future__ import annotations

import gzip
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from meshport.binding import Binding
from meshport.kafka.consumer import Consumer
from meshport.kafka.producer import Message, Producer
from tests.cli.running import Run, on, process
from tests.connections import connection
from tests.mesh_session import Mesh
from tests.ports.readings import cut, fill
from tests.remade import remake
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.kafka

GOOD = {"sensor": "s1", "at": "2026/03/01 12:00", "celsius": 21.5}


@pytest.fixture
def port(mesh: Mesh) -> Binding:
    """A port of readings that no other test has."""
    return mesh.product()


def jsonl(*rows: Any) -> bytes:
    """JSON lines; text as it is."""
    return "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows).encode()


def test_what_is_published_is_shown(on_mesh: Run, port: Binding, tmp_path: Path) -> None:
    """Records from a file come back by `tail`, one JSON object a line, with CloudEvents' attribute names."""
    file = tmp_path / "readings.jsonl"
    file.write_bytes(jsonl(GOOD, GOOD | {"sensor": "s2", "note": "ü"}))
    published = on_mesh("publish", port.address.key, "--from", str(file), "--json")
    assert published.code == 0
    assert published.lines == [
        {"address": str(port.address), "topic": port.topic, "stored": 2, "refused": 0, "unknown": 0}
    ]
    assert f"{port.address}: 2 stored, 0 refused, 0 unknown" in published.err
    shown = on_mesh("tail", str(port.address), "--from-beginning", "--until-end", "--json")
    assert shown.code == 0
    first = next(each for each in shown.lines if each["data"]["sensor"] == "s1")
    attributes = {
        name: first[name] for name in ("specversion", "source", "type", "time", "datacontenttype", "dataschema")
    }
    assert attributes == {
        "specversion": "1.0",
        "source": str(port.address),
        "type": port.type,
        "time": "2026-03-01T12:00:00Z",
        "datacontenttype": "application/avro",
        "dataschema": f"urn:meshport:schema:{port.fingerprint}",
    }
    assert first["data"] == {"sensor": "s1", "at": "2026-03-01T12:00:00Z", "celsius": 21.5, "note": None}
    assert (first["kafkatopic"], first["kafkakey"]) == (port.topic, "s1")
    again = tmp_path / "again.jsonl"
    again.write_bytes(jsonl(*(each["data"] for each in shown.lines)))
    assert on_mesh("publish", port.address.key, "--from", str(again)).code == 0, "what was shown can be published"


def test_csv_from_stdin(on_mesh: Run, port: Binding) -> None:
    """`-` is stdin, read as a file is: a byte order mark, Windows' line ends, quoted line breaks."""
    text = '\ufeffsensor,at,celsius,note\r\ns1,2026-03-01 12:00,1,"two\r\nlines"\r\ns2,2026-03-01 12:01,2,\r\n'
    assert on_mesh("publish", port.address.key, "--from", "-", "--format", "csv", stdin=text.encode()).code == 0
    shown = on_mesh("tail", port.address.key, "--from-beginning", "--until-end", "--json").lines
    assert {each["data"]["sensor"]: each["data"]["note"] for each in shown} == {"s1": "two\r\nlines", "s2": None}


def test_commands_that_read_a_topic_that_was_made_again_end_with_an_error(
    on_mesh: Run, port: Binding, mesh: Mesh
) -> None:
    """`tail` and `replay` name both topics and the way out; after it they read the present one."""
    before, after = remake(mesh.kafka, port.topic)
    fill(mesh, port.address, range(3))
    for command in (["tail"], ["tail", "--from-beginning", "--until-end"], ["replay"]):
        ended = on_mesh(command[0], port.address.key, *command[1:], "--json")
        assert (ended.code, ended.out) == (1, "")
        assert f"{port.topic} was deleted and made again (its id was {before}, now it is {after})" in ended.err
        assert f"`meshport apply`, in the project of {port.address.of_product.key}" in ended.err
    mesh.apply_again(port.address)
    assert len(on_mesh("replay", port.address.key, "--json").lines) == 3


BAD = [
    GOOD,
    GOOD | {"celsius": "warm"},
    "nonsense",
    GOOD | {"celcius": 1},
    GOOD | {"sensor": None},
    GOOD | {"at": "yesterday"},
    GOOD,
]
TOLD = [
    "refused: line 2: field 'celsius': 'warm' is not a number",
    "refused: line 3: is no JSON",
    "refused: line 4: field 'celcius': the schema has no field 'celcius'\nhint: its fields are",
    "refused: line 5: field 'sensor': the field has no value and no default",
    "refused: line 6: field 'at': 'yesterday' is no time",
]


def test_a_refused_record_stops_the_file(on_mesh: Run, port: Binding) -> None:
    """By default publishing stops at the first refused record, names line and field, and reports how much was stored."""
    ended = on_mesh("publish", port.address.key, "--from", "-", "--json", stdin=jsonl(*BAD))
    assert ended.code == 1
    assert ended.lines == [{"address": str(port.address), "topic": port.topic, "stored": 1, "refused": 1, "unknown": 0}]
    assert TOLD[0] in ended.err
    assert TOLD[1] not in ended.err
    assert "--on-error skip goes on" in ended.err


def test_refused_records_are_skipped_on_request(on_mesh: Run, port: Binding) -> None:
    """With `--on-error skip` each refused record is named, the others are stored, and the counts add up."""
    ended = on_mesh("publish", port.address.key, "--from", "-", "--on-error", "skip", "--json", stdin=jsonl(*BAD))
    assert ended.code == 1
    (counts,) = ended.lines
    assert (counts["stored"], counts["refused"], counts["unknown"]) == (2, 5, 0)
    assert all(each in ended.err for each in TOLD)
    assert len(on_mesh("tail", port.address.key, "--from-beginning", "--until-end", "--json").lines) == 2


def test_a_file_that_is_wrong_all_through_is_told_in_its_first_lines(on_mesh: Run, port: Binding) -> None:
    """Of very many refused records the first twenty are named, and all are counted."""
    ended = on_mesh("publish", port.address.key, "--from", "-", "--on-error", "skip", stdin=jsonl(*["x"] * 500))
    assert ended.code == 1
    assert ended.err.count("refused: line") == 20
    assert "0 stored, 500 refused, 0 unknown (the first 20 of a kind were named)" in ended.err


def test_a_column_gives_the_ids(on_mesh: Run, port: Binding) -> None:
    """`--id-field` takes each event's id from a column; a record without one is refused."""
    rows = jsonl(GOOD | {"note": "n-1"}, GOOD | {"note": "n-2"}, GOOD)
    ended = on_mesh("publish", port.address.key, "--from", "-", "--id-field", "note", "--on-error", "skip", stdin=rows)
    assert "refused: line 3: field 'note': the record has no id" in ended.err
    shown = on_mesh("tail", port.address.key, "--from-beginning", "--until-end", "--json").lines
    assert [each["id"] for each in shown] == ["n-1", "n-2"]


def test_an_id_is_text_or_a_number(on_mesh: Run, port: Binding, tmp_path: Path) -> None:
    """0 is an id, an object is none, and a CSV file without the column of the ids is refused as a file."""
    rows = jsonl(GOOD | {"celsius": 0}, GOOD | {"celsius": {"a": 1}})
    ended = on_mesh(
        "publish", port.address.key, "--from", "-", "--id-field", "celsius", "--on-error", "skip", stdin=rows
    )
    assert "1 stored, 1 refused" in ended.err
    assert "line 2: field 'celsius': {\"a\": 1} is no id" in ended.err
    shown = on_mesh("tail", port.address.key, "--from-beginning", "--until-end", "--json").lines
    assert [each["id"] for each in shown] == ["0"]
    (tmp_path / "x.csv").write_text("sensor,at,celsius\ns1,2026-03-01,1\n", encoding="utf-8")
    ended = on_mesh("publish", port.address.key, "--from", "x.csv", "--id-field", "Sensor")
    assert ended.code == 2
    assert "x.csv: there is no column 'Sensor' for --id-field\nhint: the columns are sensor, at, celsius" in ended.err


def test_unknown_columns_are_left_out_on_request(on_mesh: Run, port: Binding) -> None:
    """`--ignore-unknown` publishes what the schema has and leaves out the rest."""
    rows = jsonl(GOOD | {"colour": "red"})
    assert on_mesh("publish", port.address.key, "--from", "-", "--ignore-unknown", stdin=rows).code == 0


@pytest.mark.parametrize(
    ("name", "told"),
    [("nowhere.jsonl", "No such file"), ("readings.txt", "does not tell a format"), (".", "cannot be read")],
)
def test_a_file_that_cannot_be_read_is_2(on_mesh: Run, port: Binding, tmp_path: Path, name: str, told: str) -> None:
    """A missing file, a name without a known format, or a folder is bad usage."""
    (tmp_path / "readings.txt").write_text("", encoding="utf-8")
    ended = on_mesh("publish", port.address.key, "--from", name)
    assert (ended.code, ended.out) == (2, "")
    assert told in " ".join(ended.err.replace("│", " ").split())


def test_a_file_that_cannot_be_read_to_its_end_is_2_and_nothing_is_stored(
    on_mesh: Run, port: Binding, tmp_path: Path
) -> None:
    """A file that is cut off, or in another encoding far down, is refused before its first record is published."""
    files = {
        "cut.json": b"[" + jsonl(GOOD).strip() + b",\n" + jsonl(GOOD)[:20],
        "latin.jsonl": jsonl(*[GOOD] * 2000) + b'{"sensor": "caf\xe9"}\n',
        "columns.csv": b"sensor,At,Celsius \ns1,2026-03-01,1\n",
    }
    told = {
        "cut.json": "cut.json: line 2: the file ends within its array",
        "latin.jsonl": "latin.jsonl: line 2001: the byte 0xe9 is not UTF-8",
        "columns.csv": "columns.csv: the schema has no fields 'At', 'Celsius '\n"
        "hint: did you mean `--rename At=at --rename 'Celsius =celsius'`",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        ended = on_mesh("publish", port.address.key, "--from", name, "--on-error", "skip")
        assert (ended.code, ended.out) == (2, "")
        assert told[name] in ended.err
    with Consumer(connection(port.bootstrap_servers)) as consumer:
        assert sum(consumer.end_offsets(port.topic).values()) == 0


def test_a_pipe_that_cannot_be_read_further_reports_what_is_stored(on_mesh: Run, port: Binding, tmp_path: Path) -> None:
    """Of a pipe the records before the error are stored and counted, whatever `--on-error` says, and the command ends with 2."""
    fifo = tmp_path / "rows.json"
    os.mkfifo(fifo)
    with ThreadPoolExecutor() as pool:
        written = pool.submit(fifo.write_bytes, b"[" + jsonl(GOOD).strip() + b",\n" + jsonl(GOOD)[:20])
        ended = on_mesh("publish", port.address.key, "--from", "rows.json", "--on-error", "skip", "--json")
        written.result(PATIENCE_S)
    assert ended.code == 2
    assert [each["stored"] for each in ended.lines] == [1]
    assert "1 stored, 0 refused, 0 unknown (the rest of the file cannot be read)" in ended.err
    assert "rows.json: line 2: the file ends within its array" in ended.err


def test_files_as_people_have_them_are_published(on_mesh: Run, port: Binding, tmp_path: Path) -> None:
    """An array, gzip, a spreadsheet's CSV: the options that a refusal names read the file, and what was found is said."""
    (tmp_path / "array.json.gz").write_bytes(gzip.compress(json.dumps([GOOD, GOOD], indent=2).encode()))
    ended = on_mesh("publish", port.address.key, "--from", "array.json.gz")
    assert (ended.code, "array.json.gz is read as: one JSON array, compressed with gzip" in ended.err) == (0, True)
    (tmp_path / "sheet.csv").write_bytes("sep=;\r\nsensor;At;celsius;note;\r\ns1;2026-03-01;1;NA;\r\n".encode("utf-16"))
    arguments = ["publish", port.address.key, "--from", "sheet.csv", "--na", "NA", "--rename", "At=at"]
    assert on_mesh(*arguments).code == 0
    shown = on_mesh("tail", port.address.key, "--from-beginning", "--until-end", "--json").lines
    assert [each["data"]["note"] for each in shown] == [None, None, None]


@pytest.mark.parametrize(
    "verb",
    [["tail", "--until-end"], ["replay"], ["resolve"], ["readers"], ["publish", "--from", "-"]],
    ids=lambda verb: str(verb[0]),
)
def test_an_address_that_nobody_registered_is_1(on_mesh: Run, verb: list[str]) -> None:
    """An unknown address ends with 1, named, with nothing on stdout."""
    ended = on_mesh(verb[0], "nobody/nothing", *verb[1:])
    assert (ended.code, ended.out) == (1, "")
    assert "error: mesh://nobody/nothing is not registered" in ended.err


def test_tail_for_people(on_mesh: Run, mesh: Mesh, port: Binding) -> None:
    """Without `--json` an event is a line with its time, key and record; `--limit` ends it."""
    fill(mesh, port.address, [1, 11, 21])
    ended = on_mesh("tail", port.address.key, "--from-beginning", "--limit", "2")
    first, second = ended.out.splitlines()
    assert first == '2026-03-01T00:01:00Z  s1  {"sensor":"s1","at":"2026-03-01T00:01:00Z","celsius":1.0,"note":null}'
    assert second.startswith("2026-03-01T00:11:00Z  s1  ")
    assert on_mesh("tail", port.address.key, "--until-end").out == ""


def test_what_cannot_be_read_is_told_and_is_1(on_mesh: Run, mesh: Mesh, port: Binding) -> None:
    """Unreadable messages are reported on stderr with their offset, the others shown; the command ends with 1."""
    fill(mesh, port.address, [1])
    with Producer(connection(port.bootstrap_servers)) as producer:
        producer.deliver([Message(port.topic, b"s1", b"nonsense")])
    fill(mesh, port.address, [11])
    for verb in (["tail", "--from-beginning", "--until-end"], ["replay"]):
        ended = on_mesh(verb[0], port.address.key, *verb[1:], "--json")
        assert ended.code == 1
        assert [each["data"]["celsius"] for each in ended.lines] == [1.0, 11.0]
        assert f"unreadable: {port.topic}[" in ended.err
        assert "]@1: " in ended.err
        assert "1 messages could not be read" in ended.err


def test_replay_is_bounded_and_marked(on_mesh: Run, mesh: Mesh, port: Binding, tmp_path: Path) -> None:
    """`replay` gives exactly the events between two times, or offsets, each marked with the job's id."""
    fill(mesh, port.address, range(0, 100, 10))  # one key: one partition
    ended = on_mesh("replay", port.address.key, "--from", "2026-03-01T00:30:00Z", "--to", "2026/03/01 01:00", "--json")
    assert [each["data"]["celsius"] for each in ended.lines] == [30.0, 40.0, 50.0]
    (job,) = {each["replayid"] for each in ended.lines}
    assert f"replay {job}: 3 events" in ended.err
    by_offset = on_mesh("replay", port.address.key, "--from", "offset:2", "--to", "offset:4", "--json")
    assert [each["data"]["celsius"] for each in by_offset.lines] == [20.0, 30.0]
    bounds = ("--from", "2026-03-01", "--from", "offset:2", "--to", "2026-03-01T00:40:00Z", "--resume", "out.jsonl")
    into = on_mesh("replay", port.address.key, *bounds)
    assert (into.code, into.out) == (0, "")
    written = [json.loads(each) for each in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [each["data"]["celsius"] for each in written] == [20.0, 30.0]
    assert "has every event of its replay already" in on_mesh("replay", port.address.key, "--resume", "out.jsonl").err


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        (["--from", "2026-03-02", "--to", "2026-03-01"], "not after it begins"),
        (["--from", "offset:9=1"], "has no partition 9"),
    ],
)
def test_a_replay_that_cannot_be_is_2(on_mesh: Run, port: Binding, bounds: list[str], told: str) -> None:
    """Bounds that are none end with 2."""
    ended = on_mesh("replay", port.address.key, *bounds)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err


def test_resolve_says_what_stands_behind_an_address(on_mesh: Run, port: Binding) -> None:
    """`resolve --json` has what scripts need; for people it is a line a fact."""
    (facts,) = on_mesh("resolve", port.address.of_product.key, "--json").lines
    assert facts["topic"] == port.topic
    assert facts["bootstrap_servers"] == port.bootstrap_servers
    assert facts["subject"] == f"{port.topic}-value"
    assert facts["schema_id"] == port.schema_id
    lines = on_mesh("resolve", port.address.of_product.key).out.splitlines()
    assert next(line.split() for line in lines if line.startswith("topic")) == ["topic", port.topic]
    assert all(line == line.rstrip() for line in lines)


def test_search_lists_products(on_mesh: Run, port: Binding) -> None:
    """`search` finds by a word of the address; an empty result is reported on stderr, and stdout is empty."""
    found = on_mesh("search", port.address.product, "--json")
    assert [each["address"] for each in found.lines] == [str(port.address.of_product)]
    head, row = on_mesh("search", port.address.product).out.splitlines()
    assert head.split() == ["address", "archetype", "status", "owner", "description"]
    assert row.split()[:2] == [port.address.of_product.key, "source-aligned"]
    nothing = on_mesh("search", "no-such-word")
    assert (nothing.code, nothing.out) == (0, "")
    assert "no product has 'no-such-word' in it" in nothing.err


def test_search_lists_all_there_are(on_mesh: Run, mesh: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """More products than a page holds are all listed, each once."""
    monkeypatch.setattr("meshport.cli.mesh._PAGE", 2)
    made = {str(mesh.product(name="paged").address.of_product) for _ in range(5)}
    listed = [each["address"] for each in on_mesh("search", "paged", "--json").lines]
    assert sorted(listed) == sorted(made)


def test_nobody_reads_is_said(on_mesh: Run, port: Binding) -> None:
    """A port without readers is reported on stderr, and stdout is empty."""
    ended = on_mesh("readers", port.address.key)
    assert (ended.code, ended.out) == (0, "")
    assert f"nobody reads {port.address.key}" in ended.err
    assert on_mesh("readers", port.address.key, "--json").out == ""


def test_a_closed_pipe_is_quiet(mesh: Mesh, port: Binding, tmp_path: Path) -> None:
    """`tail --json | head -1`: one line, no complaint, and no failure."""
    fill(mesh, port.address, range(3000))
    with process("tail", port.address.key, "--from-beginning", "--json", cwd=tmp_path, **on(mesh)) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        assert json.loads(tail.stdout.readline())
        tail.stdout.close()
        assert tail.wait(PATIENCE_S) == 0
        assert tail.stderr.read() == b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_tail_that_is_interrupted_ends_well(mesh: Mesh, port: Binding, tmp_path: Path, number: int) -> None:
    """Ctrl-C ends a live `tail` with 0 and without a word, after whole lines."""
    fill(mesh, port.address, range(10))
    with process("tail", port.address.key, "--from-beginning", "--json", cwd=tmp_path, **on(mesh)) as tail:
        assert tail.stdout is not None
        first = [tail.stdout.readline() for _ in range(10)]
        tail.send_signal(number)
        out, err = tail.communicate(timeout=PATIENCE_S)
    assert (tail.returncode, out, err) == (0, b"", b"")
    assert len({json.loads(line)["id"] for line in first}) == 10


def test_a_publish_that_is_interrupted_tells_what_is_stored(mesh: Mesh, port: Binding, tmp_path: Path) -> None:
    """Ctrl-C while records are read still waits for those in flight, reports how many are stored, and ends with 130."""
    fifo = tmp_path / "rows.jsonl"
    os.mkfifo(fifo)
    rows = jsonl(*[GOOD] * 5000)
    arguments = ["publish", port.address.key, "--from", str(fifo), "--json"]
    with process(*arguments, cwd=tmp_path, **on(mesh)) as publish, fifo.open("wb", buffering=0) as pipe:
        assert pipe.write(rows) == len(rows)  # more than the pipe holds: most of it has been read
        publish.send_signal(signal.SIGINT)
        out, err = publish.communicate(timeout=PATIENCE_S)
    assert publish.returncode == 130, err.decode()
    counts = json.loads(out)
    assert 1000 < counts["stored"] <= 5000
    assert (counts["refused"], counts["unknown"]) == (0, 0)
    assert b"(interrupted)" in err
    with Consumer(connection(port.bootstrap_servers)) as consumer:
        assert sum(consumer.end_offsets(port.topic).values()) == counts["stored"]


def test_no_colour_where_none_is_wanted(port: Binding, mesh: Mesh, tmp_path: Path) -> None:
    """With NO_COLOR, and where nothing is a terminal, neither stream holds an escape."""
    for arguments in (["resolve", port.address.key], ["resolve", "Bad/Address"], ["nonsense"], ["search"]):
        with process(*arguments, cwd=tmp_path, **on(mesh), NO_COLOR="1", FORCE_COLOR="") as ended:
            out, err = ended.communicate(timeout=PATIENCE_S)
        assert b"\x1b" not in out + err


def test_a_replay_of_a_removed_history_ends_with_1(on_mesh: Run, mesh: Mesh) -> None:
    """`replay` names the offsets that are removed and ends with 1; `--allow-missing` reads the rest, as `tail` does."""
    binding = mesh.product(partitions=1)
    fill(mesh, binding.address, range(10))
    cut(binding, 4)
    address = str(binding.address)
    refused = on_mesh("replay", address, "--from", "2026-03-01", "--json")
    assert (refused.code, refused.out) == (1, "")
    assert "removed from the log, which begins at offset 4 (recorded 20" in refused.err
    assert "--allow-missing" in refused.err
    for shown in (
        on_mesh("replay", address, "--allow-missing", "--json"),
        on_mesh("replay", address, "--from", "offset:4", "--json"),
        on_mesh("tail", address, "--from-beginning", "--until-end", "--json"),
        on_mesh("tail", address, "--from-beginning", "--limit", "6", "--json"),
    ):
        assert shown.code == 0
        assert [line["data"]["celsius"] for line in shown.lines] == [4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
