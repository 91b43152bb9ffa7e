"""The file and line of a finding in the author's files, so that annotations appear at the line that was changed.

A finding's pointer leads into the canonical form of a schema. The author's file has the same elements in the same order,
except that types are wrapped (`{"type": {"type": "string"}}`), are referred to by name, or are in `schemas/common/`. Its nodes
are therefore followed by the pointer as far as they exist, and the nearest enclosing element is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

from meshport.compat.finding import Finding, Part, Verdict
from meshport.product import OutputPort, Product
from meshport.product.declared_state import step_path
from meshport.product.load import line_in
from meshport.product.yaml_file import MappingNode, Node, ScalarNode, SequenceNode, compose_json
from meshport.project.project import Project, schema_path
from meshport.schema.text import bare_json

_NAMED: Final = frozenset({"record", "error", "enum", "fixed"})

_composed = lru_cache(maxsize=64)(compose_json)  # a verdict has several findings in one file


class FindingLines:
    """The files and lines of a project's contracts; each file is read once.

    File names are relative to the top of the project's git repository, as GitHub requires for annotations and SARIF results, or
    to the project if there is no repository.

    Args:
        project: the candidates.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        above = (project.root, *project.root.parents)
        self._top = next((each for each in above if (each / ".git").exists()), project.root)
        self._texts: dict[str, str] = {}

    def of(self, verdict: Verdict, product: Product | None = None) -> Verdict:
        """Return a verdict whose findings have their file and line; neither for a product that is removed.

        Args:
            verdict: on one of the project's ports.
            product: the candidate, if it has another address than its past.
        """
        address = product.address if product else verdict.address.of_product
        descriptor = self._project.descriptors.get(address.key)
        if descriptor is None or not verdict.findings:
            return verdict
        product = self._project.descriptor(descriptor)
        port = product.port(verdict.address.port, verdict.address.major)
        placed = tuple(self._with_line(each, descriptor, product, port) for each in verdict.findings)
        return verdict.model_copy(update={"findings": placed})

    def _with_line(self, finding: Finding, descriptor: str, product: Product, port: OutputPort | None) -> Finding:
        if finding.part is Part.SCHEMA and port is not None:
            file = schema_path(product, port)
            line = schema_line(self._text(file), finding.pointer)
        else:
            file = descriptor
            line = line_in(self._text(descriptor), *_descriptor_path(finding, product, port))
        return finding.model_copy(update={"file": self._called(file), "line": line})

    def _called(self, path: str) -> str:
        file = Path(self._project.root, path)
        return file.relative_to(self._top).as_posix() if file.is_relative_to(self._top) else str(file)

    def _text(self, path: str) -> str:
        if path not in self._texts:
            try:
                self._texts[path] = self._project.files.text(path)
            except (OSError, UnicodeDecodeError):
                self._texts[path] = ""
        return self._texts[path]


def schema_line(text: str, pointer: str) -> int:
    """Return the line in an author's schema of a pointer into its canonical form, or of the nearest enclosing element.

    Args:
        text: the schema's file.
        pointer: RFC 6901.
    """
    try:
        root = _composed(bare_json(text))
    except ValueError:
        root = None
    if root is None:
        return 1
    defined = dict(_definitions(root))
    node, line = root, root.start_mark.line + 1
    for escaped in pointer.split("/")[1:]:
        found = _step(node, escaped.replace("~1", "/").replace("~0", "~"), defined)
        if found is None:
            break
        line, node = found
    return line


def _step(node: Node, part: str, defined: dict[str, Node]) -> tuple[int, Node] | None:
    """Return the line and the node of the pointer's next token; None if the file has no such element."""
    for _ in range(len(defined) + 64):  # the depth of a schema is bounded, and names in a cycle end too
        if isinstance(node, ScalarNode):
            known = defined.get(str(node.value).rpartition(".")[2])
            if known is None:
                return None
            node = known
        if isinstance(node, SequenceNode):
            if not part.isdecimal() or int(part) >= len(node.value):
                return None
            item = node.value[int(part)]
            return _line(item), item
        keys = {str(key.value): (key, value) for key, value in node.value}
        if part in keys and (part != "type" or "name" in keys):
            key, value = keys[part]
            return int(key.start_mark.line) + 1, value
        if "type" not in keys or isinstance(keys["type"][1], ScalarNode):
            return None
        node = keys["type"][1]  # a type that is wrapped
    return None


def _line(node: Node) -> int:
    """Return the line at which people see an item: a field at its name, on whatever line its brace is."""
    if isinstance(node, MappingNode):
        for key, _ in node.value:
            if key.value == "name":
                return int(key.start_mark.line) + 1
    return int(node.start_mark.line) + 1


def _definitions(root: Node) -> Iterator[tuple[str, Node]]:
    """Yield every named type that a file defines, by its unqualified name; of two with the same name, the first."""
    stack, found = [root], set[str]()
    while stack:
        node = stack.pop()
        if isinstance(node, SequenceNode):
            stack.extend(reversed(node.value))
        elif isinstance(node, MappingNode):
            keys = {str(key.value): value for key, value in node.value}
            kind, name = keys.get("type"), keys.get("name")
            if name is not None and isinstance(kind, ScalarNode) and kind.value in _NAMED:
                short = str(name.value).rpartition(".")[2]
                if short not in found:
                    found.add(short)
                    yield short, node
            stack.extend(keys[each] for each in ("values", "items", "fields", "type") if each in keys)


def _descriptor_path(finding: Finding, product: Product, port: OutputPort | None) -> tuple[str | int, ...]:
    keys: tuple[str | int, ...] = tuple(finding.path.split(".")) if finding.path else ()
    if finding.part is not Part.PRODUCT:
        if port is None:
            return ("outputPorts",)
        entry = ("outputPorts", product.output_ports.index(port))
        if keys[:1] == ("config",):
            keys = ("config", finding.path.removeprefix("config."))
        return (*entry, *keys) if finding.part is Part.PORT else (*entry, "schema")
    if len(keys) > 1 and keys[0] == "slaProperties":
        index = next((i for i, each in enumerate(product.sla_properties) if each.property == keys[1]), None)
        return ("slaProperties",) if index is None else ("slaProperties", index)
    if len(keys) > 1 and keys[0] == "process":
        return step_path(product.process, finding.path.partition(".")[2])
    return keys or ("address",)
