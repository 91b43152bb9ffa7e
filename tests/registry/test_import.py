"""An import of another registry: ids, versions, references, levels and modes, as often as it is repeated."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from meshport.errors import FileError, NotRegistered, RegistrationRefused, RegistryUnavailable
from meshport.product import Compatibility
from meshport.registry import Registry
from meshport.registry.importer import import_snapshot
from meshport.registry.snapshot_folder import read_snapshot, write_snapshot
from meshport.snapshot import (
    ImportBatch,
    ImportCounts,
    RegistrySnapshot,
    SchemaReferenceCopy,
    SubjectCopy,
    VersionCopy,
)
from meshport_registry import Settings, running
from tests.plain_http import plain_http
from tests.registry.sheet import V1, V2, register
from tests.waiting import PATIENCE_S

ADDRESS = json.dumps(
    {"type": "record", "name": "Address", "namespace": "x", "fields": [{"name": "city", "type": "string"}]}
)
ORDER = json.dumps(
    {"type": "record", "name": "Order", "namespace": "x", "fields": [{"name": "to", "type": "x.Address"}]}
)
BASKET = json.dumps(
    {"type": "record", "name": "Basket", "namespace": "x", "fields": [{"name": "order", "type": "x.Order"}]}
)
TO_ADDRESS = [{"name": "x.Address", "subject": "z-address", "version": 1}]
TO_ORDER = [*TO_ADDRESS, {"name": "x.Order", "subject": "m-order", "version": 1}]


@pytest.fixture
def other(tmp_path: Path) -> Iterator[httpx2.Client]:
    """Yield a plain HTTP client of a second registry."""
    settings = Settings(database=f"sqlite:///{tmp_path / 'other.db'}", port=0, bootstrap_servers="kafka:9092")
    with running(settings) as url, plain_http(url) as client:
        yield client


@pytest.fixture
def peer(other: httpx2.Client) -> Iterator[Registry]:
    """Yield the library's client of the second registry."""
    with Registry(str(other.base_url), keep=0, timeout=PATIENCE_S) as client:
        yield client


@pytest.fixture
def filled(other: httpx2.Client) -> httpx2.Client:
    """Return a client of the second registry, with references, levels, a mode, and soft-deleted versions."""
    for subject, texts in (("a", (V1, V2)), ("half", (V1, V2)), ("gone", (V1,)), ("s/1 ä", (V1,))):
        for text in texts:
            assert register(other, subject, text).is_success
    for subject, text, references in (
        ("z-address", ADDRESS, []),
        ("m-order", ORDER, TO_ADDRESS),
        ("a-basket", BASKET, TO_ORDER),
    ):
        answer = other.post(f"/subjects/{subject}/versions", json={"schema": text, "references": references})
        assert answer.is_success, answer.text
    assert other.delete("/subjects/half/versions/1").is_success
    assert other.delete("/subjects/gone").is_success
    assert other.put("/config", json={"compatibility": "FULL"}).is_success
    assert other.put("/config/a", json={"compatibility": "NONE"}).is_success
    assert other.put("/mode/half", json={"mode": "READONLY"}).is_success
    return other


def copy_of(registry: Registry) -> dict[str, Any]:
    """Return everything that a registry has, without its URL."""
    return registry.subjects.snapshot().model_dump(exclude={"source"})


def test_a_whole_registry_arrives(
    filled: httpx2.Client, peer: Registry, registry: Registry, http: httpx2.Client
) -> None:
    """Ids, versions, references, soft-deleted versions, levels and modes are those of the other registry."""
    report = import_snapshot(peer.subjects.snapshot(), registry)
    assert (report.counts.versions, report.counts.unchanged, report.notes) == (9, 0, ())
    assert copy_of(registry) == copy_of(peer)
    for number in range(1, 6):
        path = f"/schemas/ids/{number}"
        assert http.get(path).json() == filled.get(path).json()
    assert http.get("/subjects/gone/versions?deleted=true").json() == [1]
    assert http.get("/subjects/m-order/versions/1/referencedby").json() == [5]
    assert register(http, "a", V1).json() == register(filled, "a", V1).json() | {"version": 1}


def test_an_import_is_repeated_until_nothing_changes(filled: httpx2.Client, peer: Registry, registry: Registry) -> None:
    """A second import brings what changed since: a version, a deletion, a level. A third one changes nothing."""
    import_snapshot(peer.subjects.snapshot(), registry)
    again = import_snapshot(peer.subjects.snapshot(), registry)
    assert (again.counts.versions, again.counts.settings, again.counts.unchanged) == (0, 0, 9)
    assert register(filled, "later", V2).is_success
    assert filled.delete("/subjects/a/versions/1").is_success
    assert register(filled, "gone", V1).json()["version"] == 2  # the soft-deleted version 1 is dropped there
    assert filled.delete("/config/a").is_success
    assert filled.delete("/mode/half").is_success
    import_snapshot(peer.subjects.snapshot(), registry)
    assert copy_of(registry) == copy_of(peer)
    assert import_snapshot(peer.subjects.snapshot(), registry).counts == ImportCounts(unchanged=10)


def test_new_ids_follow_imported_ones(
    filled: httpx2.Client, peer: Registry, registry: Registry, http: httpx2.Client
) -> None:
    """A schema that is new here gets an id that no imported record can carry."""
    import_snapshot(peer.subjects.snapshot(), registry)
    assert register(http, "mine", '"string"').json()["id"] == 6
    assert filled.get("/schemas/ids/6").status_code == 404


def test_every_clash_is_named_and_nothing_is_written(
    filled: httpx2.Client, peer: Registry, registry: Registry, http: httpx2.Client
) -> None:
    """An id, or a version, that has another schema here stops the import before its first write."""
    assert register(http, "a", '"string"').json()["id"] == 1
    before = copy_of(registry)
    with pytest.raises(RegistrationRefused) as caught:
        import_snapshot(peer.subjects.snapshot(), registry)
    assert caught.value.findings == (
        "version 1 of subject 'a': the id 1 has another schema here, version 1 of 'a'",
        "version 1 of subject 'gone': the id 1 has another schema here, version 1 of 'a'",
        "version 1 of subject 'half': the id 1 has another schema here, version 1 of 'a'",
        "version 1 of subject 's/1 ä': the id 1 has another schema here, version 1 of 'a'",
    )
    assert copy_of(registry) == before
    assert filled.get("/subjects").is_success


def test_an_id_that_no_subject_has_any_more_clashes_too(
    peer: Registry, other: httpx2.Client, registry: Registry, http: httpx2.Client
) -> None:
    """A schema stays readable by its id after a permanent delete, so its id is taken."""
    assert register(http, "old", '"string"').is_success
    for query in ("", "?permanent=true"):
        assert http.delete(f"/subjects/old{query}").is_success
    assert register(other, "a", V1).is_success
    with pytest.raises(RegistrationRefused, match="the id 1 has another schema here, which no subject has any more"):
        import_snapshot(peer.subjects.snapshot(), registry)


def version(subject: str, number: int, schema_id: int, text: str, **more: Any) -> VersionCopy:
    """Return a version as a registry shows it."""
    return VersionCopy(subject=subject, version=number, id=schema_id, schema_text=text, **more)


def snapshot(*versions: VersionCopy) -> RegistrySnapshot:
    """Return a registry that has these versions."""
    names = sorted({each.subject for each in versions})
    subjects = tuple(
        SubjectCopy(name=name, versions=tuple(each for each in versions if each.subject == name)) for name in names
    )
    return RegistrySnapshot(source="http://peer", level=Compatibility.BACKWARD, mode="READWRITE", subjects=subjects)


def test_a_schema_gets_every_id_that_records_carry(registry: Registry, http: httpx2.Client) -> None:
    """A registry that compares texts gives each spelling an id; here each of them is read as it was spelled.

    A serializer that registers the schema again finds the version of its subject.
    """
    spelled = json.dumps(json.loads(V1), indent=2)
    both = snapshot(version("a", 1, 7, V1), version("b", 1, 9, spelled))
    assert import_snapshot(both, registry).counts.further_ids == 1
    assert import_snapshot(both, registry).counts.unchanged == 2
    assert [http.get(f"/schemas/ids/{each}").json()["schema"] for each in (7, 9)] == [V1, spelled]
    assert registry.by_id(7) == registry.by_id(9)
    for subject, number in (("a", 7), ("b", 9)):
        assert register(http, subject, V1).json()["id"] == number
        assert http.post(f"/subjects/{subject}", json={"schema": spelled}).json()["id"] == number
    assert register(http, "c", spelled).json()["id"] == 7


def test_a_further_id_is_found_with_references(registry: Registry, http: httpx2.Client) -> None:
    """The same holds for a schema that refers to another subject."""
    reference = SchemaReferenceCopy(name="x.Address", subject="z-address", version=1)
    spelled = json.dumps(json.loads(ORDER), indent=2)
    both = snapshot(
        version("z-address", 1, 1, ADDRESS),
        version("a", 1, 2, ORDER, references=(reference,)),
        version("b", 1, 3, spelled, references=(reference,)),
    )
    import_snapshot(both, registry)
    for subject, number in (("a", 2), ("b", 3)):
        answer = http.post(f"/subjects/{subject}/versions", json={"schema": ORDER, "references": TO_ADDRESS})
        assert answer.json()["id"] == number


def test_a_schema_that_is_here_by_another_id_is_no_clash(registry: Registry, http: httpx2.Client) -> None:
    """Records carry the id of the other registry, so the schema gets it beside its own."""
    assert register(http, "mine", V1).json()["id"] == 1
    import_snapshot(snapshot(version("a", 1, 50, V1)), registry)
    assert (http.get("/subjects/mine/versions/1").json()["id"], http.get("/subjects/a/versions/1").json()["id"]) == (
        1,
        50,
    )


def test_a_version_that_was_registered_again_elsewhere_moves(registry: Registry, http: httpx2.Client) -> None:
    """Between two imports the other registry's version 1 was deleted, and its schema registered as version 2."""
    import_snapshot(snapshot(version("a", 1, 1, V1)), registry)
    import_snapshot(snapshot(version("a", 2, 1, V1)), registry)
    assert http.get("/subjects/a/versions?deleted=true").json() == [2]


def test_a_version_that_is_deleted_and_registered_again_is_kept_once(registry: Registry, http: httpx2.Client) -> None:
    """Apicurio keeps the soft-deleted version, Confluent's registry drops it; here it is dropped, which a note says."""
    live = version("a", 1, 1, V1)
    import_snapshot(snapshot(live), registry)
    report = import_snapshot(snapshot(version("a", 1, 1, V1, deleted=True), version("a", 2, 1, V1)), registry)
    assert http.get("/subjects/a/versions?deleted=true").json() == [2]
    assert report.notes == ("1 soft-deleted versions whose schema was registered again are not kept: a",)


NOWHERE = SchemaReferenceCopy(name="x.Address", subject="q", version=4)
KEPT_NOWHERE: list[tuple[VersionCopy, str]] = [
    (version("p", 1, 1, 'syntax = "proto3";', kind="PROTOBUF"), "schemas of type PROTOBUF are not taken; leave the subject out"),
    (version("p", 1, 1, V1, rules={"domainRules": [{}]}), "a rule set is not kept here; leave the subject out"),
    (version("p", 1, 1, V1, metadata={"tags": {}}), "metadata is not kept here; leave the subject out"),
    (version("p", 1, 1, '{"type": "enum"}'), "schema 1"),
    (version("p", 1, 1, ORDER, references=(NOWHERE,)), "it refers to version 4 of 'q', which is not there"),
    (version(":.other:p", 1, 1, V1), "it lies in another context"),
    (version("p" * 501, 1, 1, V1), "its name has more than 500 characters"),
]  # fmt: skip


@pytest.mark.parametrize(("wrong", "reason"), KEPT_NOWHERE)
def test_what_cannot_be_kept_is_refused_unless_it_is_left_out(wrong: VersionCopy, reason: str, tmp_path: Path) -> None:
    """A schema of another type, a rule set and the like would be lost, which is never silent."""
    with running(Settings(database=f"sqlite:///{tmp_path / 'r.db'}", port=0)) as url, Registry(url) as registry:
        with pytest.raises(RegistrationRefused) as caught:
            import_snapshot(snapshot(wrong, version("a", 1, 2, V1)), registry)
        assert reason in caught.value.findings[0]
        assert copy_of(registry)["subjects"] == ()
        report = import_snapshot(snapshot(wrong, version("a", 1, 2, V1)), registry, leave_out=[f"{wrong.subject[:3]}*"])
        assert report.counts.versions == 1


def test_an_id_of_two_schemas_is_refused(registry: Registry) -> None:
    """A registry that has lost its order gives one id twice (Confluent's schema-registry issue 893)."""
    with pytest.raises(RegistrationRefused, match="the id 1 has another schema there too, version 1 of 'a'"):
        import_snapshot(snapshot(version("a", 1, 1, V1), version("b", 1, 1, V2)), registry)


def test_the_registry_itself_refuses_a_batch_that_clashes(registry: Registry, http: httpx2.Client) -> None:
    """What another caller registers between plan and write is seen in the transaction; a batch is written in whole or not."""
    assert register(http, "b", '"string"').json()["id"] == 1
    batch = ImportBatch(versions=(version("a", 1, 2, V1), version("b", 1, 3, V2)))
    with pytest.raises(
        RegistrationRefused, match="version 1 of subject 'b': the version has another schema here, with the id 1"
    ):
        registry.import_batch(batch)
    assert http.get("/subjects").json() == ["b"]
    with pytest.raises(NotRegistered):
        registry.by_id(2)


def test_a_dry_run_writes_nothing(filled: httpx2.Client, peer: Registry, registry: Registry) -> None:
    """A dry run counts what an import would write."""
    assert import_snapshot(peer.subjects.snapshot(), registry, dry_run=True).counts.versions == 9
    assert copy_of(registry)["subjects"] == ()
    assert filled.get("/subjects").is_success


def test_a_folder_has_all_of_it(filled: httpx2.Client, peer: Registry, tmp_path: Path) -> None:
    """What was exported is read again; a later export into the same folder replaces it; other files are not touched."""
    folder = tmp_path / "export"
    taken = peer.subjects.snapshot()
    write_snapshot(taken, folder)
    assert read_snapshot(folder).subjects == taken.subjects
    assert filled.delete("/subjects/s%2F1%20%C3%A4").is_success
    assert filled.delete("/subjects/s%2F1%20%C3%A4?permanent=true").is_success
    write_snapshot(peer.subjects.snapshot(), folder)
    assert [each.name for each in read_snapshot(folder).subjects] == [
        "a",
        "a-basket",
        "gone",
        "half",
        "m-order",
        "z-address",
    ]
    (folder / "subjects" / "half.json").unlink()
    with pytest.raises(FileError, match="has 5 subjects"):
        read_snapshot(folder)
    with pytest.raises(FileError, match="has other files"):
        write_snapshot(taken, tmp_path)


def test_names_of_files_are_distinct_where_case_does_not_count(tmp_path: Path) -> None:
    """Subjects that differ in case, or are longer than a file name may be, have a file each."""
    names = ["a", "A", "..", "x" * 300, "x" * 299 + "y", "a/b", "a%2Fb"]
    taken = snapshot(*(version(name, 1, 1, V1) for name in names))
    write_snapshot(taken, tmp_path / "e")
    assert read_snapshot(tmp_path / "e").subjects == taken.subjects
    assert len({file.name.lower() for file in (tmp_path / "e" / "subjects").iterdir()}) == len(names)


def test_a_url_that_is_no_registry_is_never_an_empty_one(other: httpx2.Client) -> None:
    """The root of another API answers 404 for every subject, which is not the same as having none."""
    with (
        Registry(f"{other.base_url}/api/v1") as wrong,
        pytest.raises(RegistryUnavailable, match="/subjects answered 404"),
    ):
        wrong.subjects.snapshot()
