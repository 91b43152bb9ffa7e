"""The author's own text, through both APIs and the client: shown as it was written, identified by its canonical form."""

from __future__ import annotations

import httpx2
import pytest
from sqlalchemy import create_engine

from meshport.registry import Registry
from meshport.schema import Schema, is_plain_json, parse_common, parse_schema
from meshport_registry import Settings, running
from meshport_registry.settings import database_url
from tests.plain_http import plain_http
from tests.registry.schemas import product, record
from tests.registry.sheet import register

WRITTEN = """{
  "type": "record", "name": "Play", "namespace": "mesh",
  "doc": "One play.",
  "fields": [{"type": "string", "name": "user"}, {"type": "string", "name": "track"}]
}"""


def test_a_products_contract_is_shown_as_its_team_wrote_it(registry: Registry, http: httpx2.Client) -> None:
    """Confluent's half answers the text of a registered product; address, fingerprint, GUID and gate have the canonical form."""
    contract = parse_schema(WRITTEN)
    registered = registry.register(product(), {"events@1": contract})
    binding = registered.product.bindings[0]
    assert http.get(f"/subjects/{binding.subject}/versions/1").json()["schema"] == WRITTEN
    assert http.get(f"/schemas/ids/{binding.schema_id}").json()["schema"] == WRITTEN
    assert http.get(f"/api/v1/schemas/{contract.fingerprint}").json() == {
        "fingerprint": contract.fingerprint,
        "guid": str(contract.guid),
        "id": binding.schema_id,
        "schema_text": contract.text,
        "author_text": WRITTEN,
    }
    assert (binding.schema_text, binding.fingerprint) == (contract.text, contract.fingerprint)
    for found in (
        registry.by_id(binding.schema_id),
        registry.by_fingerprint(contract.fingerprint),
        registry.by_guid(contract.guid),
    ):
        assert (found, found.fingerprint) == (contract, contract.fingerprint)
    assert registry.resolve("player/plays").schema_text == contract.text
    (past,) = registry.past("player/plays").ports
    assert [each.schema_text for each in past.versions] == [contract.text]


def test_another_spelling_changes_nothing(registry: Registry, http: httpx2.Client) -> None:
    """A product whose file is only spelled anew keeps version and id, and nothing is reported as changed."""
    registry.register(product(), {"events@1": parse_schema(WRITTEN)})
    again = registry.register(product(), {"events@1": parse_schema(parse_schema(WRITTEN).text)})
    assert again.changed == ()
    subject = again.product.bindings[0].subject
    assert http.get(f"/subjects/{subject}/versions").json() == [1]
    assert http.get(f"/subjects/{subject}/versions/1").json()["schema"] == WRITTEN
    (verdict,) = registry.judge(product(), {"events@1": parse_schema(WRITTEN)})
    assert verdict.passes


def test_a_contract_that_refers_to_a_shared_type_is_sent_whole() -> None:
    """The text of a contract stands alone if the registry gets it; with a shared type the canonical form does."""
    common = parse_common([("track.avsc", '{"type":"record","name":"mesh.Track","fields":[]}')])
    alone = parse_schema(WRITTEN, common=common)
    referring = parse_schema(
        '{"type":"record","name":"mesh.P","fields":[{"name":"t","type":"mesh.Track"}]}', common=common
    )
    assert alone.written == WRITTEN
    assert referring.written is None
    assert alone == Schema(alone.text)


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ('{"a": 1, "b": {"a": 1}}', True),
        ('{"a": "// 1"}', True),
        ('{"a": 1, "a": 2}', False),
        ('{"a": 1} // one', False),
        ('\ufeff{"a": 1}', False),
        ("NaN", False),
        ("{", False),
        ("string", False),
    ],
)
def test_which_texts_every_parser_reads_alike(written: str, plain: bool) -> None:
    """A text that repeats a key, has a comment, or is no JSON, is not stored as it is."""
    assert is_plain_json(written) is plain


def test_a_schema_with_comments_is_answered_without_them(http: httpx2.Client) -> None:
    """As Confluent's registry does; with references too."""
    text = f"\ufeff/* licence */ {WRITTEN} // the end"
    number = register(http, "plays", text).json()["id"]
    assert http.get(f"/schemas/ids/{number}").json()["schema"] == parse_schema(WRITTEN).text
    assert register(http, "spelled-anew", WRITTEN).json()["id"] == number
    users = '{"type":"record","name":"mesh.U","fields":[{"name":"p","type":"mesh.Play"}]}'
    references = [{"name": "mesh.Play", "subject": "plays", "version": 1}]
    number = register(http, "users", users + "/* here */", references=references).json()["id"]
    answered = http.get(f"/schemas/ids/{number}").json()["schema"]
    assert answered == '{"name":"mesh.U","type":"record","fields":[{"name":"p","type":"mesh.Play"}]}'


def test_a_name_of_the_null_namespace_is_answered_as_it_was_written(http: httpx2.Client) -> None:
    """As Oracle GoldenGate registers it, and Java's library reads it; a type that is referred to stays apart from it."""
    text = (
        '{"type": "record", "name": "T", "namespace": "ORCL.SHOP", "fields": [{"name": "before", "type": ["null",'
        ' {"type": "record", "name": "row", "namespace": "", "fields": []}]}, {"name": "after", "type": ["null", "row"]}]}'
    )
    number = register(http, "t", text).json()["id"]
    assert http.get(f"/schemas/ids/{number}").json()["schema"] == text
    assert register(http, "canonical", parse_schema(text).text).json()["id"] == number
    user = '{"type":"record","name":"shop.U","fields":[{"name":"t","type":"ORCL.SHOP.T"},{"name":"r","type":"row"}]}'
    references = [{"name": "ORCL.SHOP.T", "subject": "t", "version": 1}]
    number = register(http, "u", user, references=references).json()["id"]
    assert http.get(f"/schemas/ids/{number}").json()["schema"] == user
    assert parse_schema(http.get(f"/schemas/ids/{number}?format=resolved").json()["schema"]).fields[1]["type"] == "row"


def test_rows_of_an_earlier_version_stay_readable(database: str) -> None:
    """A row of an earlier version has the canonical form alone: it keeps its id, and another spelling does not replace it."""
    canonical = parse_schema(WRITTEN)
    settings = Settings(database=database, port=0)
    with running(settings) as url, plain_http(url) as http:
        assert http.post("/subjects/old/versions", json={"schema": canonical.text}).json()["id"] == 1
    engine = create_engine(database_url(database))
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT resolved FROM schema").scalar() is None, (
            "as an earlier version wrote it"
        )
    engine.dispose()
    with running(settings) as url, plain_http(url) as http:
        answer = http.post("/subjects/new/versions", json={"schema": WRITTEN}).json()
        assert (answer["id"], answer["schema"]) == (1, canonical.text)
        assert http.post("/subjects/old", json={"schema": WRITTEN}).json()["version"] == 1
        assert http.get("/schemas/ids/1").json()["schema"] == canonical.text


def test_the_authors_own_text_is_answered(http: httpx2.Client) -> None:
    """Every route that shows a schema shows it as its author wrote it; `format=resolved` shows the canonical form."""
    text = (
        '{\n  "type": "record", "name": "Order", "namespace": "conf",\n  "fields": [{"type": "long", "name": "n"}]\n}'
    )
    canonical = parse_schema(text).text
    number = register(http, "orders", text).json()
    assert number["schema"] == text
    for path in (
        f"/schemas/ids/{number['id']}",
        f"/schemas/ids/{number['id']}?subject=orders",
        f"/schemas/guids/{number['guid']}",
        "/subjects/orders/versions/1",
        "/subjects/orders/versions/latest",
    ):
        assert http.get(path).json()["schema"] == text, path
        resolved = f"{path}{'&' if '?' in path else '?'}format=resolved"
        assert http.get(resolved).json()["schema"] == canonical, path
    assert http.get("/schemas").json()[0]["schema"] == text
    assert http.post("/subjects/orders", json={"schema": canonical}).json()["schema"] == text
    for path in (f"/schemas/ids/{number['id']}/schema", "/subjects/orders/versions/1/schema"):
        assert http.get(path).text == text
        assert http.get(f"{path}?format=RESOLVED").text == canonical


def test_two_spellings_have_one_id_and_the_text_that_came_first(http: httpx2.Client) -> None:
    """A schema's identity is its canonical form: another spelling gets the id, and the first text stays."""
    first = '{"type": "record", "namespace": "mesh", "name": "P", "fields": []}'
    for subject, text in (("a", first), ("b", '{"name":"mesh.P","type":"record","fields":[]}'), ("a", " " + first)):
        answer = register(http, subject, text).json()
        assert (answer["id"], answer["version"], answer["schema"]) == (1, 1, first)
    assert register(http, "c", first, "?normalize=true").json()["schema"] == first
    other = '{"type": "record", "namespace": "mesh", "name": "Q", "fields": []}'
    assert register(http, "d", other, "?normalize=true").json()["schema"] == parse_schema(other).text


def test_a_normalized_schema_keeps_its_references(http: httpx2.Client) -> None:
    """`normalize` stores the canonical form, in which a type of another subject stays a name."""
    register(http, "track", record("title", name="mesh.Track"))
    text = '{ "fields": [{"type": "mesh.Track", "name": "t"}], "name": "Play", "namespace": "mesh", "type": "record" }'
    references = [{"name": "mesh.Track", "subject": "track", "version": 1}]
    stored = register(http, "play", text, "?normalize=true", references=references).json()["schema"]
    assert stored == '{"name":"mesh.Play","type":"record","fields":[{"name":"t","type":"mesh.Track"}]}'


def test_a_text_that_parsers_read_in_different_ways_is_stored_as_it_was_understood(http: httpx2.Client) -> None:
    """A key that is repeated, and a bare type name, are stored as plain JSON, so that every client reads the same."""
    for number, (text, stored) in enumerate(
        [
            ("string", '"string"'),
            (
                '{"type":"record","name":"A","name":"B","fields":[]}',
                '{"name":"B","type":"record","fields":[]}',
            ),
        ]
    ):
        answer = register(http, f"s{number}", text).json()
        assert answer["schema"] == stored
        assert http.get(f"/schemas/ids/{answer['id']}").json()["schema"] == stored
