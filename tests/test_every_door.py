"""Everything that talks to Kafka takes the connection of its caller: the syntax trees of the library show it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

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
_TREES: Final = {
    str(file.relative_to(ROOT)): ast.parse(file.read_text(encoding="utf-8"))
    for folder in ("meshport", "registry")
    for file in sorted((ROOT / folder).rglob("*.py"))
}


class Door(NamedTuple):
    """A function with a parameter `kafka` that is PLAINTEXT by default.

    Attributes:
        file: that has it.
        name: by which it is called; of `__init__` the name of the class.
        method: whether it is called as an attribute of an object.
        index: the position of the argument; None where only the keyword is taken.
    """

    file: str
    name: str
    method: bool
    index: int | None


def _doors() -> Iterator[Door]:
    for file, tree in _TREES.items():
        for owner in ast.walk(tree):
            if isinstance(owner, ast.Module | ast.ClassDef):
                for each in owner.body:
                    if isinstance(each, ast.FunctionDef):
                        yield from _door(file, each, owner)


def _door(file: str, function: ast.FunctionDef, owner: ast.AST) -> Iterator[Door]:
    arguments = function.args
    names = [each.arg for each in (*arguments.posonlyargs, *arguments.args)]
    defaults = {
        **dict(zip(reversed(names), reversed(arguments.defaults), strict=False)),
        **{
            each.arg: default
            for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
            if default
        },
    }
    if not _is_plaintext(defaults.get("kafka")):
        return
    in_class = isinstance(owner, ast.ClassDef)
    index = names.index("kafka") - in_class if "kafka" in names else None
    if isinstance(owner, ast.ClassDef) and function.name == "__init__":
        yield Door(file, owner.name, False, index)
    else:
        yield Door(file, function.name, in_class, index)


def _is_plaintext(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Name) and node.id == "PLAINTEXT"


def _called(node: ast.Call) -> tuple[str, bool]:
    """Return the name of what is called, and whether it is called as an attribute."""
    if isinstance(node.func, ast.Attribute):
        return node.func.attr, True
    return (node.func.id, False) if isinstance(node.func, ast.Name) else ("", False)


def _passes(call: ast.Call, door: Door) -> bool:
    named = any(each.arg in {"kafka", None} for each in call.keywords)
    return named or (door.index is not None and len(call.args) > door.index)


def _knows(file: str, door: Door) -> bool:
    """Whether a name in a file is that of the door: the file has it, or imports it from its module or a package around that."""
    module = door.file.removesuffix(".py").replace("/", ".")
    imported = (
        each.module
        for each in ast.walk(_TREES[file])
        if isinstance(each, ast.ImportFrom) and each.module and door.name in {alias.name for alias in each.names}
    )
    return file == door.file or any(module == each or module.startswith(f"{each}.") for each in imported)


def _calls() -> Iterator[tuple[str, ast.Call]]:
    for file, tree in _TREES.items():
        yield from ((file, node) for node in ast.walk(tree) if isinstance(node, ast.Call))


def test_a_connection_is_made_only_where_it_is_read() -> None:
    """Nothing but what reads a connection, or starts a Kafka, constructs a KafkaConfig; so that no login is lost on the way."""
    found = [f"{file}:{node.lineno}" for file, node in _calls() if _called(node)[0] == "KafkaConfig"]
    assert [each for each in found if Path(each.partition(":")[0]).as_posix() not in _MAKERS] == []
    assert {each.partition(":")[0] for each in found} == _MAKERS


def test_a_connection_without_login_is_only_a_default() -> None:
    """PLAINTEXT stands nowhere but as the default of a parameter or of a field."""
    found = []
    for file, tree in _TREES.items():
        defaults = {
            id(default)
            for node in ast.walk(tree)
            for default in (
                (*node.args.defaults, *node.args.kw_defaults)
                if isinstance(node, ast.FunctionDef)
                else (node.value,)
                if isinstance(node, ast.AnnAssign)
                else ()
            )
        }
        found += [
            f"{file}:{node.lineno}"
            for node in ast.walk(tree)
            if _is_plaintext(node) and isinstance(node.ctx, ast.Load) and id(node) not in defaults  # type: ignore[attr-defined]  # a name
        ]
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
