"""Edits of a product.yaml that keep the form, the order and the comments of all other text."""

from __future__ import annotations

from datetime import date
from typing import Any, Final

from meshport.errors import DescriptorError, ProjectError
from meshport.product.descriptor import OutputPort, Product
from meshport.product.lines import misdated
from meshport.product.load import parse_product
from meshport.product.yaml_file import MappingNode, ScalarNode, SequenceNode, compose, dump, dump_flow

_PORTS: Final = "outputPorts"
# The keys that a new line does not take over from the line before it.
_OWN: Final = {"name", "major", "schema", "type", "topic", "envelope", "liveFrom", "deprecatedOn"}


def add_line(text: str, old: OutputPort, *, live_from: date, deprecated_on: date, file: str) -> str:
    """Add the next major line of a port after its highest one, and deprecate that one.

    The new line has the keys of the old one, but for the contract's file and the events' type, which are the default ones.

    Args:
        text: the descriptor's text.
        old: the port's highest line.
        live_from: the day from which the new line is live.
        deprecated_on: the day after which readers should have left the old line.
        file: the descriptor's name in errors.

    Returns:
        The text with the new line.

    Raises:
        DescriptorError: the text is no descriptor.
        ProjectError: the dates contradict each other, or the ports are written in a form that cannot be extended without
            changing other text; the hint has the lines to write.
    """
    product = parse_product(text, file=file)
    after = _with_line(product, old, live_from, deprecated_on)
    for _, _, message in misdated(after.output_ports):
        raise ProjectError(message, file=str(file))
    index = product.output_ports.index(old)
    item = _item(old, live_from)
    written = _insert(text, index, item, f"deprecatedOn: {deprecated_on}")
    if written is None or not _reads_as(written, after):
        raise ProjectError(
            f"{file} cannot be added to: its {_PORTS} are not written as one port after the other, each on lines of its own",
            hint=f"give {old.name}@{old.major} `deprecatedOn: {deprecated_on}`, and write after it:\n"
            + "\n".join(item),
        )
    return written


def _with_line(product: Product, old: OutputPort, live_from: date, deprecated_on: date) -> Product:
    # A new major has another log than the topic that the old one adopts.
    fresh = {
        "topic": None,
        "envelope": None,
        "major": old.major + 1,
        "live_from": live_from,
        "schema_file": None,
        "type": None,
        "deprecated_on": None,
    }
    ports = list(product.output_ports)
    index = ports.index(old)
    ports[index : index + 1] = [
        old.model_copy(update={"deprecated_on": deprecated_on}),
        old.model_copy(update=fresh),
    ]
    return product.model_copy(update={"output_ports": tuple(ports)})


def _reads_as(text: str, wanted: Product) -> bool:
    try:
        return parse_product(text).model_dump() == wanted.model_dump()
    except DescriptorError:
        return False


def _item(old: OutputPort, live_from: date) -> list[str]:
    """Return the new line as an item of a block sequence, not indented."""
    kept = old.model_dump(mode="json", by_alias=True, exclude_unset=True)
    entries: dict[str, Any] = {"name": old.name, "major": old.major + 1}
    entries |= {key: value for key, value in kept.items() if key not in _OWN and value is not None}
    entries["liveFrom"] = live_from
    first, *rest = (_entry(key, value) for key, value in entries.items())
    return [f"- {first}", *(f"  {each}" for each in rest)]


def _entry(key: str, value: Any) -> str:
    if isinstance(value, list | dict):
        return f"{key}: {dump_flow(value)}"
    return dump({key: value}).rstrip()


def _insert(text: str, index: int, item: list[str], end: str) -> str | None:
    """Return the text with `end` added to the keys of a port and `item` after it; None for ports that are no block sequence."""
    ports = _value(compose(text), _PORTS)
    if not isinstance(ports, SequenceNode) or ports.flow_style:
        return None
    port = ports.value[index]
    newline = "\r\n" if "\r\n" in text else "\n"
    dash = " " * ports.start_mark.column
    if port.flow_style:
        inner = text[: port.end_mark.index - 1].rstrip()
        head = inner + ("" if inner.endswith((",", "{")) else ",") + f" {end}"
        head, tail = _split_line(head + text[port.end_mark.index - 1 :], len(head))
    else:
        head, tail = _split_line(text, len(text[: _end_of(port)].rstrip()))
        keys = " " * port.start_mark.column
        head += ("" if head.endswith("\n") else newline) + keys + end + newline
        while _is_comment(tail, port.start_mark.column):  # a comment about the keys above it
            comment, tail = _split_line(tail, 0)
            head += comment
    if not head.endswith("\n"):
        head += newline
    return head + "".join(f"{dash}{line}{newline}" for line in item) + tail


def _value(node: Any, key: str) -> Any:
    return next((value for name, value in node.value if name.value == key), None)


def _end_of(node: Any) -> int:
    """Return the index at which a node's own text ends; the end mark of a block is that of the next token."""
    if isinstance(node, ScalarNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end_of(last[1] if isinstance(node, MappingNode) else last)


def _split_line(text: str, at: int) -> tuple[str, str]:
    """Return the text up to the end of the line that holds an index, line break included, and the rest."""
    newline = text.find("\n", at)
    return (text, "") if newline < 0 else (text[: newline + 1], text[newline + 1 :])


def _is_comment(text: str, least: int) -> bool:
    """Whether a text begins with a comment that is indented by at least this much."""
    bare = text.lstrip(" ")
    return bare.startswith("#") and len(text) - len(bare) >= least
