"""Reads a product.yaml and reports the file and line of each of its errors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

from pydantic import BaseModel, ValidationError

from meshport.address import nearest
from meshport.errors import DescriptorError
from meshport.product.descriptor import Product
from meshport.product.input_port import Disagreement
from meshport.product.yaml_file import MappingNode, Node, SequenceNode, YamlError, compose, read

_Path = tuple[str | int, ...]
# Descriptors have some hundred keys, six levels deep; more is an alias bomb.
_LARGEST: Final = 20_000
_DEEPEST: Final = 50
_YAML: Final = (
    "the keys of one mapping have the same indent, made of spaces; text that holds `: ` or ` #` stands in quotes"
)
# Pydantic's messages name types of Python.
_SHAPES: Final = {
    "model_type": "keys with values",
    "dict_type": "keys with values",
    "tuple_type": "a list",
    "list_type": "a list",
    "string_type": "text",
}


def load_product(file: Path) -> Product:
    """Read one descriptor.

    Raises:
        DescriptorError: the file is no YAML, or holds an unknown key, a value of the wrong type, or values that contradict
            each other. It lists every finding with file, line and what would be right.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DescriptorError(f"cannot be read: {error}", file=str(file)) from error
    return parse_product(text, file=str(file))


def parse_product(text: str, *, file: str = "product.yaml") -> Product:
    """Read a descriptor from its text; see `load_product`."""
    try:
        lines, document = read(text, lambda root: _PathLines(root, file))
    except YamlError as error:
        raise DescriptorError(f"is no YAML: {error.problem}", file=file, line=error.line, hint=_YAML) from error
    if not isinstance(document, dict) or lines is None:
        raise DescriptorError(
            "holds no mapping", file=file, line=1, hint="a descriptor begins with `address: mesh://<domain>/<product>`"
        )
    try:
        return Product.model_validate(document)
    except ValidationError as error:
        found = error.errors(include_url=False)
        findings = sorted(_finding(each, lines) for each in found if not _follows(each, found))
        if len(findings) == 1:
            line, message, hint = findings[0]
            raise DescriptorError(message, file=file, line=line, hint=hint or None) from error
        first, *more = (message + (f" ({hint})" if hint else "") for _, message, hint in findings)
        rest = "".join(f"\n{file}:{line}: {each}" for (line, _, _), each in zip(findings[1:], more, strict=True))
        raise DescriptorError(first + rest, file=file, line=findings[0][0]) from error


def line_of(file: Path, *path: str | int) -> int:
    """Return the line of a path of keys and indices in a valid descriptor, or of the path's nearest parent that is there."""
    return line_in(file.read_text(encoding="utf-8"), *path)


def line_in(text: str, *path: str | int) -> int:
    """Return the line of a path in the text of a valid descriptor; see `line_of`."""
    node = compose(text)
    return _PathLines(node, "product.yaml")(path) if node is not None else 1


def _follows(detail: Any, others: Sequence[Any]) -> bool:
    """Whether a finding follows from another one: a missing key that is misspelt, a list too short for its wrong items."""
    path = detail["loc"]
    if detail["type"] == "missing":
        unknown = [each["loc"] for each in others if each["type"] == "extra_forbidden"]
        return any(
            each[:-1] == path[:-1] and nearest(str(each[-1]), _known_keys(path[:-1])) == path[-1] for each in unknown
        )
    return detail["type"] == "too_short" and any(
        len(each["loc"]) > len(path) and each["loc"][: len(path)] == path for each in others
    )


class _PathLines:
    """The line of each path of a YAML document.

    Raises:
        DescriptorError: a key is given twice, or aliases make the document larger than any descriptor.
    """

    def __init__(self, root: Node, file: str) -> None:
        self._file = file
        self._at: dict[_Path, int] = {}
        self._walk(root, ())

    def _walk(self, node: Node, path: _Path) -> None:
        line = node.start_mark.line + 1
        if len(path) > _DEEPEST or len(self._at) > _LARGEST:
            # A few aliases of aliases, or an alias of its own parent, make a document without end.
            raise DescriptorError("nests too deep, or its aliases repeat too much", file=self._file, line=line)
        self._at.setdefault(path, line)
        if isinstance(node, MappingNode):
            for key, value in node.value:
                here = (*path, str(key.value))
                if here in self._at:
                    raise DescriptorError(
                        f"{key.value!r} is given twice",
                        file=self._file,
                        line=key.start_mark.line + 1,
                        hint=f"it stands in line {self._at[here]} already; YAML would silently keep the last one",
                    )
                self._at[here] = key.start_mark.line + 1
                self._walk(value, here)
        elif isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                self._walk(item, (*path, index))

    def __call__(self, path: _Path) -> int:
        while path and path not in self._at:
            path = path[:-1]
        return self._at.get(path, 1)


def _finding(detail: Any, lines: _PathLines) -> tuple[int, str, str]:
    """Return one pydantic error as (line, message, hint or "")."""
    cause = detail.get("ctx", {}).get("error")
    path = (*detail["loc"], *(cause.path if isinstance(cause, Disagreement) else ()))
    dotted = ".".join(str(part) for part in path)
    match detail["type"]:
        case "extra_forbidden":
            near = nearest(str(path[-1]), _known_keys(path[:-1]))
            return (
                lines(path),
                f"unknown key {dotted!r}",
                f"did you mean {near!r}?" if near else f"known keys: {', '.join(_known_keys(path[:-1]))}",
            )
        case "missing":
            return lines(path[:-1]), f"{dotted!r} is missing", _description(path)
        case "invalid_key":
            return lines((*path[:-1], str(path[-1]))), f"the key {path[-1]!r} is no text", "in quotes it would be"
        case "value_error":
            text = str(cause)
            message, _, hint = text.partition("\nhint: ")
            return lines(path), f"{dotted}: {message}" if dotted else message, hint
        case _:
            found = detail["input"]
            shape = _SHAPES.get(detail["type"])
            message = f"expected {shape}" if shape else detail["msg"]
            shown = f", found {_as_written(found)}" if shape or not isinstance(found, dict | list) else ""
            within = _known_keys(path) if detail["type"] == "model_type" else []
            return (
                lines(path),
                f"{dotted}: {message}{shown}" if path else f"{message}{shown}",
                f"its keys: {', '.join(within)}" if within else _description(path),
            )


def _as_written(value: Any) -> str:
    """Return a value as YAML's author knows it: true, not True; the kind of what is longer than a scalar."""
    if value is None or isinstance(value, dict | list):
        return "nothing" if value is None else "a list" if isinstance(value, list) else "keys with values"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _known_keys(path: _Path) -> list[str]:
    """Return the keys of the model at this path."""
    model = _model_at(path)
    return [field.alias or name for name, field in model.model_fields.items()] if model else []


def _description(path: _Path) -> str:
    """Return the description of the key at this path, or ""."""
    model = _model_at(path[:-1])
    fields = model.model_fields.items() if model else ()
    return next((field.description or "" for name, field in fields if path[-1] in {name, field.alias}), "")


def _model_at(path: _Path) -> type[BaseModel] | None:
    model: Any = Product
    for part in path:
        if isinstance(part, int) or model is None:
            continue
        field = next((field for name, field in model.model_fields.items() if part in {name, field.alias}), None)
        model = _model_within(field.annotation) if field else None
    return cast("type[BaseModel] | None", model)


def _model_within(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_within(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)
