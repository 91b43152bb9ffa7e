"""Reading a product.yaml, with the file and line of everything that is wrong in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from meshport.address import nearest
from meshport.errors import DescriptorError
from meshport.product.descriptor import Product

_Path = tuple[str | int, ...]


def load_product(file: Path) -> Product:
    """Read one descriptor.

    Raises:
        DescriptorError: the file is no YAML, holds an unknown key, a value that does not fit, or a pair that makes no
            sense; it names file and line, and what would be right. All findings are listed.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DescriptorError(f"cannot be read: {error}", file=str(file)) from error
    return parse_product(text, file=str(file))


def parse_product(text: str, *, file: str = "product.yaml") -> Product:
    """Read a descriptor from its text; see `load_product`."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise DescriptorError(f"is no YAML: {error.problem}", file=file, line=line) from error
    except yaml.YAMLError as error:
        raise DescriptorError(f"is no YAML: {error}", file=file) from error
    if not isinstance(document, dict) or node is None:
        raise DescriptorError(
            "holds no mapping", file=file, line=1, hint="a descriptor begins with `address: mesh://<domain>/<product>`"
        )
    lines = _Lines(node)
    lines.refuse_doubled_keys(file)
    try:
        return Product.model_validate(document)
    except ValidationError as error:
        findings = sorted(_finding(detail, lines) for detail in error.errors(include_url=False))
        line, message, hint = findings[0]
        more = "".join(
            f"\n{file}:{line}: {message}" + (f" ({hint})" if hint else "") for line, message, hint in findings[1:]
        )
        raise DescriptorError(message + more, file=file, line=line, hint=hint) from error


class _Loader(yaml.SafeLoader):
    """YAML's safe types, with the booleans of YAML 1.2: `on`, `off`, `yes` and `no` are words, and `on` is a join's key."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


class _Lines:
    """Where each path of a YAML document stands."""

    def __init__(self, root: yaml.Node) -> None:
        self._at: dict[_Path, int] = {}
        self._doubled: list[tuple[str, int]] = []
        self._walk(root, ())

    def _walk(self, node: yaml.Node, path: _Path) -> None:
        self._at.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = (*path, str(key.value))
                if here in self._at:
                    self._doubled.append((str(key.value), key.start_mark.line + 1))
                self._at[here] = key.start_mark.line + 1
                self._walk(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self._walk(item, (*path, index))

    def __call__(self, path: _Path) -> int:
        while path and path not in self._at:
            path = path[:-1]
        return self._at.get(path, 1)

    def refuse_doubled_keys(self, file: str) -> None:
        for key, line in self._doubled:
            raise DescriptorError(
                f"{key!r} is given twice", file=file, line=line, hint="YAML would silently keep the last one"
            )


def _finding(detail: Any, lines: _Lines) -> tuple[int, str, str]:
    """One pydantic error as (line, message, hint or "")."""
    path = tuple(detail["loc"])
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
            return lines(path[:-1]), f"{dotted!r} is missing", ""
        case "value_error":
            text = str(detail["ctx"]["error"])
            message, _, hint = text.partition("\nhint: ")
            return lines(path), f"{dotted}: {message}" if dotted else message, hint
        case _:
            found = detail["input"]
            shown = "" if isinstance(found, dict | list) else f", found {found!r}"
            return lines(path), f"{dotted}: {detail['msg']}{shown}" if path else f"{detail['msg']}{shown}", ""


def _known_keys(path: _Path) -> list[str]:
    """The keys that the model at this path takes."""
    model: Any = Product
    for part in path:
        if isinstance(part, int) or not (isinstance(model, type) and issubclass(model, BaseModel)):
            continue
        field = next((field for name, field in model.model_fields.items() if part in {name, field.alias}), None)
        model = _model_within(field.annotation) if field else None
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_within(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_within(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)
