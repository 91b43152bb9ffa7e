"""The tree of errors: as it is drawn, with its facts as attributes, through pickle and in `repr`."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

import meshport
import meshport_registry
from meshport import errors
from meshport.address import Address
from meshport.errors import AddressError, MeshError, NotRegistered, RegistryUnavailable, SchemaError
from meshport.registry import Registry
from meshport.schema import parse_schema

SAMPLES = {"findings": ("first", "second"), "line": 7, "offset": 41, "partition": 3, "status": 409}


def every_class() -> list[type[MeshError]]:
    """Every error class of the library and of the service."""
    for package in (meshport, meshport_registry):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith(".__main__") and ".migrations" not in module.name:
                importlib.import_module(module.name)
    found, waiting = [], [MeshError]
    while waiting:
        found.append(waiting.pop())
        waiting += found[-1].__subclasses__()
    return [each for each in dict.fromkeys(found) if each.__module__.startswith("meshport")]


CLASSES = every_class()


def facts_of(kind: type[MeshError]) -> dict[str, Any]:
    """A value for each argument of a class but its message."""
    parameters = inspect.signature(kind).parameters
    return {name: SAMPLES.get(name, f"some {name}") for name in parameters if name != "message"}


def documented(kind: type[MeshError]) -> Iterator[str]:
    """The names under `Attributes:` in the docstrings of a class and of its parents."""
    for each in kind.__mro__:
        _, _, attributes = (each.__doc__ or "").partition("Attributes:\n")
        yield from re.findall(r"^ {8}(\w+): \S", attributes, re.MULTILINE)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda each: each.__name__)
def test_every_argument_is_a_documented_attribute(kind: type[MeshError]) -> None:
    """What a constructor takes is an attribute of the error, and the docstring describes every attribute."""
    facts = facts_of(kind)
    error = kind(message="what was found", **facts)
    assert error.message.endswith("what was found")
    assert {name: getattr(error, name) for name in facts} == facts
    assert set(vars(error)) <= set(documented(kind))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda each: each.__name__)
def test_an_error_survives_pickle(kind: type[MeshError]) -> None:
    """An error and its copy through pickle have the same type, facts and text."""
    error = kind(message="what was found", **facts_of(kind))
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.args, vars(copy)) == (kind, error.args, vars(error))
    assert (str(copy), repr(copy)) == (str(error), repr(error))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda each: each.__name__)
def test_repr_shows_message_and_known_facts(kind: type[MeshError]) -> None:
    """`repr` has the class, the message and every fact."""
    error = kind(message="what was found", **facts_of(kind))
    assert repr(error).startswith(f"{kind.__name__}({error.message!r}")
    assert all(f"{name}={value!r}" in repr(error) for name, value in facts_of(kind).items())


def test_repr_leaves_out_what_is_not_known() -> None:
    """A fact that the raising code does not know is not in `repr`."""
    assert repr(errors.TopicError("missing", topic="orders")) == "TopicError('missing', topic='orders')"
    assert repr(errors.DecodeError("cut off")) == "DecodeError('cut off')"


def test_the_drawn_tree_is_the_tree() -> None:
    """The tree in the docstring has every class of the module under its parent."""
    drawn: dict[str, str] = {}
    parents = ["MeshError"]
    for stem, name in re.findall(r"^    ([│ ]*[├└]── )(\w+)", errors.__doc__ or "", re.MULTILINE):
        depth = len(stem) // 4
        drawn[name] = parents[depth - 1]
        parents[depth:] = [name]
    own = [each for each in CLASSES if each.__module__.startswith(f"{errors.__name__}.") and each is not MeshError]
    assert drawn == {each.__name__: each.__bases__[0].__name__ for each in own}


def test_raised_errors_carry_their_facts() -> None:
    """Address, schema and registry errors have as attributes what their messages name."""
    with pytest.raises(AddressError) as address:
        Address.parse("no address")
    assert address.value.text == "no address"
    with pytest.raises(SchemaError) as schema:
        parse_schema("{", source="orders.avsc")
    assert (schema.value.source, schema.value.rule) == ("orders.avsc", None)
    gone = httpx2.Response(410, json={"error": "retired", "message": "retired", "successor": "mesh://a/b"})
    with (
        Registry("http://registry:1", transport=httpx2.MockTransport(lambda _: gone)) as registry,
        pytest.raises(NotRegistered) as retired,
    ):
        registry.resolve("a/a")
    facts = (retired.value.url, retired.value.status, retired.value.successor)
    assert facts == ("http://registry:1", 410, "mesh://a/b")
    failing = httpx2.MockTransport(lambda _: httpx2.Response(503, json={"message": "busy"}))
    with Registry("http://registry:1", transport=failing) as registry, pytest.raises(RegistryUnavailable) as busy:
        registry.resolve("a/a")
    assert (busy.value.status, str(busy.value)) == (503, "the registry at http://registry:1 answered 503: busy")
