"""What a declared process reads is known: the gate protects it in that, and a declaration that says less is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from meshport.errors import RegistrationRefused
from meshport.product import Product
from meshport.registry import Registry
from meshport.schema import Schema, parse_schema
from meshport.testing.mesh import MemoryMesh
from meshport.testing.registry import MemoryRegistry, _Registered
from tests.cli.conftest import cli
from tests.cli.running import Run
from tests.reference.under_declared import OUTPUT, READERS, Form, Reader, put, schemas, source, without, write
from tests.registry.conftest import database, new_database, postgres, registry, service
from tests.repository import git

__all__ = ["cli", "database", "new_database", "postgres", "registry", "service"]

UNDER_DECLARED = [each for each in READERS if not each.honest]
each_reader = pytest.mark.parametrize("reader", READERS, ids=lambda each: each.name)


def edited(reader: Reader) -> Form:
    """Return the contract of a reader's input after the wrong edit."""
    form = schemas()[reader.edited]
    reader.edit(form)
    return form


@pytest.fixture
def mesh(tmp_path: Path, cli: Run, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: ARG001 - `cli` changes the folder first
    """Return the folder of a project in a repository of its own."""
    root = tmp_path / "mesh"
    root.mkdir()
    monkeypatch.chdir(root)
    git(root, "init", "--initial-branch=main")
    return root


def commit(root: Path) -> None:
    """Commit all files."""
    git(root, "add", ".")
    git(root, "commit", "--allow-empty", "--message=as it is")


@each_reader
def test_the_gate_refuses_a_wrong_edit_under_an_under_declared_reader(reader: Reader, mesh: Path, cli: Run) -> None:
    """What is committed may declare less than it reads: the edit is refused all the same, and names the reader."""
    write(mesh, reader)
    commit(mesh)
    put(mesh / "schemas" / "shop" / f"{reader.edited}.events.avsc", edited(reader))
    ended = cli("gate", "check", "--against", "main", "--json")
    assert ended.code == 1, ended.err
    (verdict,) = json.loads(ended.out)["verdicts"]
    assert verdict["outcome"] == "breaking"
    (found,) = (each for each in verdict["readers"] if each["address"] == "mesh://shop/reader")
    assert found["breaks"]


@each_reader
def test_a_field_that_is_not_read_may_go(reader: Reader, mesh: Path, cli: Run) -> None:
    """Only what is read is protected: another field may go, unless everything is read."""
    write(mesh, reader)
    commit(mesh)
    form = schemas()[reader.edited]
    without("unread")(form)
    put(mesh / "schemas" / "shop" / f"{reader.edited}.events.avsc", form)
    ended = cli("gate", "check", "--against", "main", "--json")
    assert ended.code == (1 if reader.all else 0), ended.out


@pytest.mark.parametrize("reader", UNDER_DECLARED, ids=lambda each: each.name)
def test_a_declaration_that_says_less_is_refused_offline(reader: Reader, mesh: Path, cli: Run) -> None:
    """A reader that comes with such a declaration is refused by the gate and by `check`, with file and line."""
    write(mesh, READERS[0])
    (mesh / "processors" / "shop" / "reader" / "product.yaml").unlink()
    commit(mesh)
    write(mesh, reader)
    ended = cli("gate", "check", "--against", "main")
    assert ended.code == 2, ended.out
    assert "processors/shop/reader/product.yaml:" in ended.err
    assert "which its `fields` do not name" in ended.err
    if reader.name != "apply-by":  # whose function fails when it is loaded
        assert cli("check").code != 0


@pytest.mark.parametrize("reader", [each for each in READERS if each.honest], ids=lambda each: each.name)
def test_an_honest_declaration_passes(reader: Reader, mesh: Path, cli: Run) -> None:
    """`fields` may be left out: what declared steps read is derived; `*` is every field."""
    write(mesh, READERS[0])
    (mesh / "processors" / "shop" / "reader" / "product.yaml").unlink()
    commit(mesh)
    write(mesh, reader)
    ended = cli("gate", "check", "--against", "main")
    assert ended.code == 0, ended.err


def schema(form: Form) -> dict[str, Schema]:
    """Return the contract of a product with one port."""
    return {"events@1": parse_schema(json.dumps(form))}


@each_reader
def test_a_registry_in_memory_refuses_both(reader: Reader) -> None:
    """`MemoryRegistry` refuses the declaration, and the edit under a reader that is registered with it."""
    with MemoryMesh() as memory:
        known: MemoryRegistry = memory.registry
        for product, form in schemas().items():
            known.register(Product.model_validate(source(product)), schema(form))
        own = Product.model_validate(reader.descriptor())
        if reader.honest:
            known.register(own, schema(OUTPUT))
        else:
            with pytest.raises(RegistrationRefused, match="which its `fields` do not name"):
                known.register(own, schema(OUTPUT))
            known._products[own.address] = _Registered(own, {("events", 1): [*schema(OUTPUT).values()]})
        (found,) = known.readers(f"shop/{reader.edited}")
        assert found.address == own.address
        with pytest.raises(RegistrationRefused, match="would not be what was promised"):
            known.register(Product.model_validate(source(reader.edited)), schema(edited(reader)))


def test_the_registry_refuses_both(registry: Registry, database: str) -> None:
    """The registry refuses such a declaration, and an edit under a reader that it registered before it did so."""
    engine = create_engine(database)
    for number, reader in enumerate(READERS):
        domain = f"shop{number}"
        for product, form in schemas().items():
            registry.register(Product.model_validate(source(product, domain)), schema(form))
        own = Product.model_validate(reader.descriptor(domain))
        if reader.honest:
            registry.register(own, schema(OUTPUT))
        else:
            with pytest.raises(RegistrationRefused, match="which its `fields` do not name"):
                registry.register(own, schema(OUTPUT))
            every = [each.model_copy(update={"fields": ("*",)}) for each in own.input_ports]
            registry.register(own.model_copy(update={"input_ports": tuple(every)}), schema(OUTPUT))
            before = {"text": own.model_dump_json(by_alias=True, exclude_none=True), "guid": str(own.id)}
            with engine.begin() as connection:
                connection.execute(text("UPDATE product SET descriptor = :text WHERE guid = :guid"), before)
                connection.execute(text("UPDATE input_port SET fields = '[\"id\"]' WHERE guid = :guid"), before)
        changed = Product.model_validate(source(reader.edited, domain))
        with pytest.raises(RegistrationRefused, match="would not be what was promised"):
            registry.register(changed, schema(edited(reader)), dry_run=True)
        (found,) = registry.readers(f"{domain}/{reader.edited}")
        edges = [each for each in registry.lineage(f"{domain}/reader").edges if each.source.product == reader.edited]
        assert set(edges[0].fields) == set(found.fields), reader.name
        if not reader.all:
            form = schemas()[reader.edited]
            without("unread")(form)
            registry.register(changed, schema(form), dry_run=True)
    engine.dispose()


def test_there_are_thirty_under_declared_readers() -> None:
    """At least thirty of the readers declare too little."""
    assert len(UNDER_DECLARED) >= 30
