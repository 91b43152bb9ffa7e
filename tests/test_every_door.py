"""Everything that talks to Kafka takes the connection of its caller: the syntax trees of the library show it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple, TypeGuard

from tests.repository import ROOT

# A `KafkaConfig` is made where one is read, and of a Kafka that was started here or is a stand-in.
_MAKERS: Final = {
    "meshport/kafka/config.py",
    "meshport/kafka/in_memory.py",
    "meshport/kafka/sources.py",
    "meshport/local/listeners.py",
    "meshport/local/secured.py",
    "meshport/testing/topics.py",
}
_WITHOUT_KAFKA: Final = "meshport/process/engines/memory.py"


class Door(NamedTuple):
    """A function with a parameter `kafka` that is PLAINTEXT by default.

    Attributes:
        file: that has it.
        name: by which it is called; of `__init__` the name of the class.
        method: whether it is called as an attribute of an object.
        position: of the argument; None where only the keyword is taken.
    """

    file: str
    name: str
    method: bool
    position: int | None


@cache
def _nodes() -> dict[str, list[ast.AST]]:
    """The nodes of each file of the library and the registry."""
    files = [file for folder in ("meshport", "registry") for file in sorted((ROOT / folder).rglob("*.py"))]
    return {str(each.relative_to(ROOT)): list(ast.walk(ast.parse(each.read_text(encoding="utf-8")))) for each in files}


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for file, nodes in _nodes().items():
        yield from ((file, node) for node in nodes if isinstance(node, ast.Call))


def _doors() -> Iterator[Door]:
    for file, nodes in _nodes().items():
        for owner in nodes:
            if isinstance(owner, ast.Module | ast.ClassDef):
                for each in owner.body:
                    if isinstance(each, ast.FunctionDef):
                        yield from _door(file, each, owner)


def _door(file: str, function: ast.FunctionDef, owner: ast.Module | ast.ClassDef) -> Iterator[Door]:
    arguments = function.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    defaults = {
        **dict(zip(reversed(names), reversed(arguments.defaults), strict=False)),
        **dict(zip((each.arg for each in arguments.kwonlyargs), arguments.kw_defaults, strict=True)),
    }
    if not _is_plaintext(defaults.get("kafka")):
        return
    method = isinstance(owner, ast.ClassDef)
    position = names.index("kafka") - method if "kafka" in names else None
    if isinstance(owner, ast.ClassDef) and function.name == "__init__":
        yield Door(file, owner.name, False, position)
    else:
        yield Door(file, function.name, method, position)


def _is_plaintext(node: ast.AST | None) -> TypeGuard[ast.Name]:
    return isinstance(node, ast.Name) and node.id == "PLAINTEXT"


def _called(node: ast.Call) -> tuple[str, bool]:
    """Return the name of what is called, and whether it is called as an attribute."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr, True
    return (node.func.id, False) if isinstance(node.func, ast.Name) else ("", False)


def _passes(call: ast.Call, door: Door) -> bool:
    named = any(each.arg in {"kafka", None} for each in call.keywords)
    return named or (door.position is not None and len(call.args) > door.position)


def _knows(file: str, door: Door) -> bool:
    """Whether a name in a file is that of the door: the file has it, or imports it from its module or a package around that."""
    module = door.file.removesuffix(".py").replace("/", ".")
    imported = (
        each.module
        for each in _nodes()[file]
        if isinstance(each, ast.ImportFrom) and each.module and door.name in {alias.name for alias in each.names}
    )
    return file == door.file or any(module == each or module.startswith(f"{each}.") for each in imported)


def _defaults(node: ast.AST) -> tuple[ast.AST | None, ...]:
    """The default values of a function's parameters, or of a field."""
    if isinstance(node, ast.FunctionDef):
        return *node.args.defaults, *node.args.kw_defaults
    return (node.value,) if isinstance(node, ast.AnnAssign) else ()


def test_a_connection_is_made_only_where_it_is_read() -> None:
    """Nothing but what reads a connection, or starts a Kafka, constructs a KafkaConfig; so that no login is lost on the way."""
    found = [(file, node.lineno) for file, node in _calls() if _called(node)[0] == "KafkaConfig"]
    assert [f"{file}:{line}" for file, line in found if file not in _MAKERS] == []
    assert {file for file, _ in found} == _MAKERS


def test_a_connection_without_login_is_only_a_default() -> None:
    """PLAINTEXT stands nowhere but as the default of a parameter or of a field."""
    found = []
    for file, nodes in _nodes().items():
        defaults = {id(each) for node in nodes for each in _defaults(node)}
        names = (each for each in nodes if _is_plaintext(each) and isinstance(each.ctx, ast.Load))
        found += [f"{file}:{each.lineno}" for each in names if id(each) not in defaults]
    assert found == []


def test_every_call_passes_the_connection_on() -> None:
    """Where the library calls something that takes a connection, it passes one; a default is for the library's users."""
    doors = list(_doors())
    known = {"Publisher", "Subscriber", "Replay", "Rebuild", "LagMonitor", "prove", "redrive"}
    assert known <= {each.name for each in doors}
    missing = [
        f"{file}:{node.lineno} {door.name}"
        for file, node in _calls()
        for door in doors
        if _called(node) == (door.name, door.method)
        and (door.method or _knows(file, door))
        and not _passes(node, door)
        and file != _WITHOUT_KAFKA
    ]
    assert missing == []
