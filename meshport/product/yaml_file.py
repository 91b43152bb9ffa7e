"""YAML as Meshport reads and writes it. The only importer of PyYAML."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

__all__ = [
    "MappingNode",
    "Node",
    "ScalarNode",
    "SequenceNode",
    "YamlError",
    "compose",
    "compose_json",
    "dump",
    "dump_flow",
    "load",
    "read",
]

_Checked = TypeVar("_Checked")

# libyaml takes a tenth of PyYAML's time. It refuses the halves of a surrogate pair, which JSON may escape.
_FastLoader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WHOLE_LINE: Final = 10_000


class YamlError(ValueError):
    """Raised for text that is not YAML.

    Attributes:
        problem: what was found.
        line: the 1-based line of it; None if it is unknown.
    """

    def __init__(self, problem: str, line: int | None) -> None:
        super().__init__(problem if line is None else f"line {line}: {problem}")
        self.problem = problem
        self.line = line


class _Loader(yaml.SafeLoader):
    """YAML's safe types with the booleans of YAML 1.2: `on`, `off`, `yes` and `no` are text, and `on` is a join's key."""


def _scalar(kind: str) -> Callable[[Any, Any], Any]:
    """Return PyYAML's constructor of a scalar, with a line in the error: PyYAML raises a bare ValueError."""
    construct_scalar = getattr(yaml.SafeLoader, f"construct_yaml_{kind}")

    def construct(loader: Any, node: Node) -> Any:
        try:
            return construct_scalar(loader, node)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(
                None, None, f"{node.value!r} is no {kind}: {error}", node.start_mark
            ) from error

    return construct


for _kind in ("int", "float", "timestamp"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _scalar(_kind))
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def read(text: str, check: Callable[[Node], _Checked]) -> tuple[_Checked | None, Any]:
    """Return what `check` makes of a text's nodes, and the text's data; the text is scanned once.

    Args:
        text: one YAML document.
        check: given the root node before any data is constructed, so that it can refuse aliases without end.

    Returns:
        (None, None) for an empty document.

    Raises:
        YamlError: the text is not YAML.
    """
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            return (None, None) if root is None else (check(root), loader.construct_document(root))
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise _error(error, text) from error


def load(text: str) -> Any:
    """Return the data of a text, with the types of JSON and dates.

    Raises:
        YamlError: the text is not YAML.
    """
    try:
        return yaml.load(text, Loader=_FastLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise _error(error, text) from error


def compose(text: str) -> Node | None:
    """Return the root node of a text; None for an empty document.

    Raises:
        YamlError: the text is not YAML.
    """
    try:
        return yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise _error(error, text) from error


def compose_json(text: str) -> Node | None:
    """Return the root node of JSON text, whose nodes know their lines; None for text that is neither JSON nor YAML."""
    spaced = text.replace("\t", " ")  # YAML does not take tabs as white space
    for loader in (_FastLoader, yaml.SafeLoader):
        try:
            return yaml.compose(spaced, Loader=loader)
        except yaml.YAMLError:
            continue
    return None


def dump(document: Any, width: int = _WHOLE_LINE) -> str:
    """Return data as YAML in block style, its keys in their order.

    Args:
        document: the data.
        width: the number of characters after which a long scalar is wrapped.
    """
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=width)


def dump_flow(value: Any) -> str:
    """Return data as YAML in flow style on one line: `[a, b]`."""
    return yaml.safe_dump(
        value, sort_keys=False, allow_unicode=True, width=_WHOLE_LINE, default_flow_style=True
    ).strip()


def _error(error: yaml.YAMLError, text: str) -> YamlError:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return YamlError(f"it holds the character U+{ord(text[error.position]):04X}", line)
    mark = getattr(error, "problem_mark", None)
    return YamlError(getattr(error, "problem", None) or str(error), mark.line + 1 if mark else None)
