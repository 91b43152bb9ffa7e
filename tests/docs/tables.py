"""The tables of a page, as their readers see them."""

from __future__ import annotations

import re


def tables(text: str) -> list[list[dict[str, str]]]:
    """Return the tables of a page: a row is its cells by the head of their columns, code without its backquotes."""
    found: list[list[dict[str, str]]] = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        head, _, *rows = (_cells(line) for line in block.splitlines())
        found.append([dict(zip(head, map(plain, row), strict=True)) for row in rows])
    return found


def plain(cell: str) -> str:
    """Return a cell's text; one that is code as a whole without its backquotes."""
    code = re.fullmatch(r"(`+) ?(.*?) ?\1", cell)
    return code[2] if code and code[1] not in code[2] else cell


def _cells(line: str) -> list[str]:
    return [each.strip().replace(r"\|", "|") for each in re.split(r"(?<!\\)\|", line)[1:-1]]
