"""The product descriptor: what a product.yaml may hold, and the text of each refusal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped] # it has no types
from pydantic import BaseModel

from meshport.address import Address
from meshport.errors import DescriptorError
from meshport.product import Archetype, Compatibility, Product, load_product, parse_product
from meshport.product.json_schema import SCHEMA_FILE, descriptor_models, editor_schema, key_descriptions, schema_text
from meshport.product.yaml_file import read

GOOD = """\
address: mesh://player/plays
id: 218c3c71-5495-4d11-9379-eff0811a0f04
archetype: source-aligned
description: Every track that was played.
owner: player
outputPorts:
  - name: events
    key: user_id
    time: started_at
"""
DERIVED = """\
address: mesh://listening/plays-by-artist
id: cd1cf3ee-a088-4fd6-9261-951753ea4b88
archetype: aggregate
description: Plays of each artist, hour by hour.
owner: listening
inputPorts:
  - address: mesh://player/plays
    fields: [artist_id]
outputPorts:
  - name: events
    key: [artist_id, window_start]
    cleanup: compact
process:
  lateness: 12h
  steps:
    - filter: played_ms > 0
    - aggregate:
        by: [artist_id]
        window: {tumbling: 1h}
        values: {plays: count()}
"""


def refused(text: str) -> DescriptorError:
    """Return the error that refuses a descriptor."""
    with pytest.raises(DescriptorError) as caught:
        parse_product(text, file="product.yaml")
    return caught.value


def test_defaults() -> None:
    """Keys that are left out have defaults: one port of 4 partitions that keeps every event, internal, active."""
    product = parse_product(GOOD)
    port = product.default_port
    assert (product.status, product.classification, product.tags, product.input_ports) == ("active", "internal", (), ())
    assert (port.name, port.major, port.partitions, port.retention, port.cleanup) == ("events", 1, 4, None, "delete")
    assert port.key_fields == ("user_id",)
    assert product.event_type(port) == "player.plays.events.v1"
    assert product.port_address(port) == Address("player", "plays", "events", 1)


@pytest.mark.parametrize(
    ("archetype", "level"),
    [
        (Archetype.SOURCE_ALIGNED, Compatibility.FULL_TRANSITIVE),
        (Archetype.AGGREGATE, Compatibility.FULL),
        (Archetype.CONSUMER_ALIGNED, Compatibility.FORWARD_TRANSITIVE),
    ],
)
def test_compatibility_follows_the_archetype(archetype: Archetype, level: Compatibility) -> None:
    """A port has its archetype's compatibility level unless it names its own."""
    text = GOOD if archetype is Archetype.SOURCE_ALIGNED else DERIVED.replace("aggregate\n", f"{archetype}\n", 1)
    product = parse_product(text)
    assert product.compatibility(product.default_port) is level
    own = parse_product(text.replace("  - name: events\n", "  - name: events\n    compatibility: BACKWARD\n"))
    assert own.compatibility(own.default_port) is Compatibility.BACKWARD


def test_a_port_is_found_by_name_and_major() -> None:
    """The first port is the default one, and the highest major of a name is the live one."""
    ports = "  - {name: events, major: 2}\n  - {name: totals}\n  - {name: events, major: 3}\n"
    product = parse_product(GOOD[: GOOD.index("  - name")] + ports)
    assert [
        (port.name, port.major) for port in (product.port(), product.port("totals"), product.port("events", 2)) if port
    ] == [
        ("events", 3),
        ("totals", 1),
        ("events", 2),
    ]
    assert product.port("events", 9) is None
    assert product.port("nothing") is None


def test_on_and_no_are_words() -> None:
    """`on`, `off`, `yes` and `no` are strings, as in YAML 1.2: `on` is a join's key, and Norway is not false."""
    steps = "    - join: {with: mesh://player/plays, on: artist_id, take: {a: b}}\n"
    product = parse_product(DERIVED.replace("    - filter: played_ms > 0\n", steps) + "tags: [no, yes, off]\n")
    assert product.process is not None
    assert product.process.steps[0].join is not None
    assert product.process.steps[0].join.on == "artist_id"
    assert product.tags == ("no", "yes", "off")


# Each: what is replaced in GOOD, by what; the line of the finding; what was found; what would be right.
REFUSALS: list[tuple[str, str, int, str, str]] = [
    ("owner:", "ownr:", 5, "unknown key 'ownr'", "did you mean 'owner'?"),
    ("    key:", "    kye:", 8, "unknown key 'outputPorts.0.kye'", "did you mean 'key'?"),
    (
        "owner: player",
        "owner: player\nxyzzy: 1",
        6,
        "unknown key 'xyzzy'",
        "known keys: address, id, archetype, displayName",
    ),
    ("owner: player", "owner: player\nowner: me", 6, "'owner' is given twice", "line 5"),
    ("    time: started_at", "    time: a\n    time: b", 10, "'time' is given twice", "line 9"),
    ("owner: player\n", "", 1, "'owner' is missing", "the team that answers for the product"),
    ("owner: player", "owner:", 5, "owner: expected text, found nothing", "the team"),
    ("owner: player", "owner: 12", 5, "owner: expected text, found 12", "the team"),
    ("owner: player", 'owner: ""', 5, "owner: String should have at least 1 character", "the team"),
    ("218c3c71", "nope", 2, "id: Input should be a valid UUID", "a GUID that never changes"),
    ("source-aligned", "source", 3, "archetype: Input should be 'source-aligned'", "consumer-aligned"),
    ("mesh://player/plays", "mesh://Player/plays", 1, "the domain 'Player'", "did you mean 'player'?"),
    ("mesh://player/plays", "mesh://player/plays/events", 1, "names a port", "mesh://player/plays"),
    ("mesh://player/plays", "player", 1, "'player' is no mesh address", "an address is mesh://"),
    ("name: events", "name: My Events", 7, "the port 'My Events'", "did you mean 'my-events'?"),
    ("name: events", "retention: 7 weeks", 7, "'7 weeks' is no length of time", "`365d`"),
    ("name: events", "retention:", 7, "None is no length of time", "`365d`"),
    ("name: events", "retention: 7", 7, "7 is no length of time", "`365d`"),
    ("name: events", "partitions: 0", 7, "outputPorts.0.partitions: Input should be greater than or equal to 1", ""),
    ("name: events", "compatibility: full", 7, "Input should be 'NONE', 'BACKWARD'", "'FULL_TRANSITIVE'"),
    ("name: events", "cleanup: compacted", 7, "Input should be 'delete' or 'compact', found 'compacted'", ""),
    ("name: events", "replicationFactor: 0", 7, "replicationFactor: Input should be greater than or equal to 1", ""),
    ("name: events", "compression: brotli", 7, "'lz4' or 'zstd', found 'brotli'", ""),
    ("name: events", "config: [a]", 7, "outputPorts.0.config: expected keys with values, found a list", ""),
    ("name: events", "config: {1: x}", 7, "is no text", ""),
    ("    key: user_id", "    cleanup: compact", 8, "is compacted but has no key", "the last record of each key"),
    ("key: user_id", "key: {a: b}", 8, "{'a': 'b'} is no key", "a field's name, or a list of them"),
    ("key: user_id", "key: []", 8, "[] is no key", "a field's name, or a list of them"),
    ("key: user_id", "key: [a, a]", 8, "names a field twice", "a, a"),
    ("    time: started_at", "  - name: events", 9, "the output port events@1 is declared twice", ""),
    ("outputPorts:\n", "outputPorts: []\nx:\n", 6, "Tuple should have at least 1 item", "`- name: events`"),
    ("owner: player", "owner: player\nstatus: gone", 6, "'retired', found 'gone'", "'deprecated'"),
    ("owner: player", "owner: player\ndeprecatedOn: 2027-01-31", 6, "status is active", "says so in status"),
    (
        "owner: player",
        "owner: player\ndeprecatedOn: 2027-13-31",
        6,
        "'2027-13-31' is no timestamp",
        "month must be in 1..12",
    ),
    ("owner: player", "owner: player\nsource: 7", 6, "source: expected text, found 7", ""),
    ("owner: player", "owner: player\n1: x", 6, "the key 1 is no text", "in quotes"),
    ("owner: player", "owner: player\ninputPorts: [{address: a/b}]", 6, "it has no inputPorts and no process", "facts"),
    (
        "owner: player",
        "owner: player\nprocess: {steps: [{filter: x}]}",
        6,
        "it has no inputPorts and no process",
        "facts",
    ),
    (
        "owner: player",
        "owner: player\nslaProperties:\n  - {property: x, value: 1, port: y}",
        7,
        "no port 'y'",
        "are events",
    ),
    ("owner: player", "owner: player\nslaProperties:\n  - {property: x, value: .inf}", 7, "finite number", ""),
    ("owner: player", "owner: [player", 6, "is no YAML", ""),
    ("owner: player", "\towner: player", 5, "is no YAML: found character '\\t'", ""),
    ("owner: player", "owner: player\n---", 6, "is no YAML: but found another document", ""),
    ("owner: player", "owner: \x07", 5, "is no YAML: it holds the character U+0007", ""),
    ("owner: player", "owner: 0b_", 5, "is no YAML: '0b_' is no int", ""),
    ("owner: player", "tags: &a [*a]", 5, "aliases repeat too much", ""),
]


@pytest.mark.parametrize(("before", "after", "line", "found", "right"), REFUSALS)
def test_a_refusal_names_file_line_and_what_would_be_right(
    before: str, after: str, line: int, found: str, right: str
) -> None:
    """Each error in a descriptor is reported once, at its own line, with what was found and what would be right."""
    assert before in GOOD
    text = GOOD.replace(before, after, 1).replace("\nx:\n", "\ndisplayName: |\n", 1)
    error = refused(text)
    assert (error.file, error.line) == ("product.yaml", line)
    assert str(error).startswith(f"product.yaml:{line}: ")
    assert found in error.message
    assert right in str(error)


DERIVED_REFUSALS: list[tuple[str, str, int, str]] = [
    (
        "inputPorts:\n  - address: mesh://player/plays\n    fields: [artist_id]\n",
        "",
        3,
        "an aggregate product is built from others",
    ),
    ("owner: listening", "owner: listening\nsource: a.py:b", 6, "`source` belongs to source-aligned products"),
    ("mesh://player/plays\n", "mesh://listening/plays-by-artist\n", 7, "cannot read itself"),
    ("    fields: [artist_id]", "  - address: player/plays", 8, "is read twice"),
    ("  lateness: 12h", "  input: mesh://somebody/else", 13, "which is not among the inputPorts"),
    ("  lateness: 12h", "  lateness: soon", 14, "process.lateness: 'soon' is no length of time"),
    ("  lateness: 12h", "  engine: spark", 14, "process.engine: Input should be 'batch' or 'faust', found 'spark'"),
    (
        "by: [artist_id]",
        "bye: [artist_id]",
        18,
        "unknown key 'process.steps.1.aggregate.bye'\nhint: did you mean 'by'?",
    ),
    ("tumbling: 1h", "tumbling: 1w", 19, "'1w' is no length of time"),
    ("tumbling: 1h", "tumbling: 0s", 19, "a tumbling window of no length"),
    ("tumbling: 1h", "hopping: 1h", 19, "hopping windows need both"),
    ("tumbling: 1h", "hopping: 1h, every: 2h", 19, "would skip events"),
    ("tumbling: 1h", "tumbling: 1h, session: 1h", 19, "found tumbling, session"),
    ("count()", "avg(x)", 20, "'avg(x)' is no aggregation; use one of count(), sum(field)"),
    ("count()", "count(x)", 20, "'count(x)' is no aggregation"),
    (
        "    - filter: played_ms > 0",
        "    - {filter: x, flatten: y}",
        16,
        "a step is one operator; found filter, flatten",
    ),
    ("    - filter: played_ms > 0", "    - {}", 16, "a step is one operator; found none"),
    ("  lateness: 12h", "  python: a.py:b", 13, "either `steps` or `python`"),
]


@pytest.mark.parametrize(("before", "after", "line", "found"), DERIVED_REFUSALS)
def test_a_process_that_cannot_be_is_refused_at_its_line(before: str, after: str, line: int, found: str) -> None:
    """A process that cannot be run, or that contradicts the ports, is refused at load with the line of the error."""
    assert before in DERIVED
    error = refused(DERIVED.replace(before, after, 1))
    assert error.line == line
    assert found in str(error)


@pytest.mark.parametrize("text", ["", "# nothing\n", "- a\n", "just text\n", "42\n", "~\n"])
def test_what_is_no_mapping_is_told_how_a_descriptor_begins(text: str) -> None:
    """An empty file, a list or a string is refused, with the first line of a descriptor as a hint."""
    error = refused(text)
    assert error.line == 1
    assert error.hint == "a descriptor begins with `address: mesh://<domain>/<product>`"


def test_all_findings_are_listed_in_the_order_of_their_lines() -> None:
    """Several errors in a descriptor are all reported, in the order of their lines, each with its own hint."""
    text = (
        GOOD.replace("owner:", "ownr:")
        .replace("key:", "kye:")
        .replace("source-aligned", "sourced")
        .replace("player/plays", "P/b")
    )
    lines = str(refused(text)).splitlines()
    found = [int(match[1]) for line in lines if (match := re.match(r"product\.yaml:(\d+): ", line))]
    assert found == sorted(found)
    assert found == [1, 3, 5, 8]
    assert "did you mean 'owner'?" in next(line for line in lines if "'ownr'" in line)
    assert "did you mean 'key'?" in next(line for line in lines if "'outputPorts.0.kye'" in line)


def test_the_error_names_the_file(tmp_path: Path) -> None:
    """A file that cannot be read, or is not UTF-8, is refused by DescriptorError with its name."""
    missing, binary, wrong = (tmp_path / name for name in ("missing.yaml", "binary.yaml", "wrong.yaml"))
    binary.write_bytes(b"\xff\xfe\x00")
    wrong.write_text(GOOD.replace("owner:", "ownr:"), encoding="utf-8")
    for file, told in ((missing, "No such file"), (binary, "can't decode"), (wrong, ":5: unknown key 'ownr'")):
        with pytest.raises(DescriptorError, match=re.escape(told)) as caught:
            load_product(file)
        assert str(caught.value).startswith(str(file))


def test_aliases_without_end_are_refused_at_once() -> None:
    """Aliases that multiply to a billion items are refused before they are expanded."""
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 10))
    error = refused(f"l0: &l0 [a]\n{levels}")
    assert "aliases repeat too much" in error.message
    assert error.line


@given(
    st.text(alphabet=st.characters(codec="utf-8"), max_size=200)
    | st.text(alphabet="a:-[]{}&*!|>'\"%@#,? \n\t0", max_size=60)
)
def test_any_text_is_a_product_or_refused(text: str) -> None:
    """The loader refuses any text by DescriptorError and by no other exception."""
    with pytest.raises(DescriptorError):
        parse_product(text)


EDITOR_SCHEMA: dict[str, Any] = editor_schema()


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Return valid descriptors with up to two changes, so that some are valid and some are not."""
    document = yaml.safe_load(draw(st.sampled_from([GOOD, DERIVED])))
    values: st.SearchStrategy[Any] = st.sampled_from(
        ["", "a", "a-b", 7, -1, 0, True, None, [], ["a"], {}, "1h", "forever", "mesh://a/b", "compact", "active", 1.5]
    )
    for _ in range(draw(st.integers(0, 2))):
        holder = draw(st.sampled_from(list(_holders(document))))
        key = draw(st.sampled_from([*holder, *EDITOR_SCHEMA["properties"], "retention", "cleanup", "zzz"]))
        if draw(st.booleans()):
            holder.pop(key, None)
        else:
            holder[key] = draw(values)
    return document  # type: ignore[no-any-return] # YAML's data is Any


def _holders(document: Any) -> Iterator[dict[str, Any]]:
    if isinstance(document, dict):
        yield document
        for each in document.values():
            yield from _holders(each)
    elif isinstance(document, list):
        for each in document:
            yield from _holders(each)


VALIDATOR = Draft202012Validator(EDITOR_SCHEMA)


def test_the_shipped_schema_is_that_of_the_models() -> None:
    """The JSON Schema in the package is the one of this version's models: `make schema` writes it."""
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text()
    Draft202012Validator.check_schema(EDITOR_SCHEMA)


@pytest.mark.parametrize("model", descriptor_models(), ids=lambda model: model.__name__)
def test_every_key_is_described(model: type[BaseModel]) -> None:
    """An editor explains every key of every model."""
    assert [key for key, text in key_descriptions(model).items() if not text] == []


@given(documents())
def test_an_editors_schema_takes_every_good_descriptor(document: dict[str, Any]) -> None:
    """The JSON Schema for editors accepts every descriptor that the loader accepts."""
    try:
        parse_product(yaml.safe_dump(document))
    except DescriptorError:
        return
    assert list(VALIDATOR.iter_errors(document)) == []


@pytest.mark.parametrize(
    "file", sorted(Path(__file__).parents[2].glob("pro*/*/*/product.yaml")), ids=lambda file: file.parent.name
)
def test_an_editors_schema_takes_the_reference_mesh(file: Path) -> None:
    """The JSON Schema for editors accepts the descriptors of the reference mesh."""
    _, document = read(file.read_text(encoding="utf-8"), lambda _: None)  # YAML 1.2, as editors have it
    assert list(VALIDATOR.iter_errors(document)) == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("owner:", "ownr:"),
        ("    key:", "    kye:"),
        ("owner: player\n", ""),
        ("source-aligned", "source"),
        ("name: events", "retention: 7"),
        ("name: events", "retention: 7 weeks"),
        ("name: events", "partitions: 0"),
        ("name: events", "cleanup: compacted"),
        ("name: events", "replicationFactor: 0"),
        ("name: events", "compression: brotli"),
        ("name: events", "config: {segment.byte: 1}"),
        ("name: events", "config: {preallocate: 1}"),
        ("name: events", "config: {segment.ms: 1.5}"),
        ("key: user_id", "key: {a: b}"),
        ("key: user_id", "key: []"),
    ],
)
def test_an_editors_schema_rejects_what_the_loader_rejects(before: str, after: str) -> None:
    """The JSON Schema for editors rejects unknown and missing keys, wrong words, wrong types and bad durations."""
    text = GOOD.replace(before, after, 1)
    assert refused(text)
    assert list(VALIDATOR.iter_errors(yaml.safe_load(text)))


def test_retention_is_a_length_or_forever() -> None:
    """A retention is a duration, or None for `forever`, which is the default."""
    assert parse_product(GOOD.replace("name: events", "retention: 365d")).default_port.retention == timedelta(days=365)
    assert parse_product(GOOD.replace("name: events", "retention: forever")).default_port.retention is None


@pytest.mark.parametrize("text", [GOOD, DERIVED])
def test_a_product_is_read_from_what_it_writes(text: str) -> None:
    """A product's JSON by alias is a descriptor of the same product; the registry stores that form."""
    product = parse_product(text)
    assert Product.model_validate_json(product.model_dump_json(by_alias=True)) == product
    assert parse_product(yaml.safe_dump(product.model_dump(mode="json", by_alias=True, exclude_none=True))) == product
