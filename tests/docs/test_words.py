"""The words of the library and the service: names that mean one thing, and the terms of Kafka's own documentation."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted([*(ROOT / "meshport").rglob("*.py"), *(ROOT / "registry").rglob("*.py")])

# What the project does not say, and what it says instead.
INSTEAD = {
    r"whoever|nobody|somebody|those who|he who": "the thing that acts: the caller, the consumer, the owner",
    r"gathering": "repartition topic",
    r"set aside|sets aside|setting aside": "quarantine",
    r"lets? go|letting go": "revoke, release, close",
    r"boiled down": "aggregate",
    r"under way|on its way|on their way": "in progress, in flight",
    r"tells?|told": "return, report, raise, log",
}


def prose(text: str) -> Iterator[tuple[int, str]]:
    """The comments and docstrings of a module, each line with its number."""
    bodies = [body for node in ast.walk(ast.parse(text)) if isinstance(body := getattr(node, "body", None), list)]
    lines = {
        statement.lineno
        for body in bodies
        for statement in body
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    }
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT or (token.type == tokenize.STRING and token.start[0] in lines):
            yield from enumerate(token.string.splitlines(), token.start[0])


def unwanted(text: str) -> list[tuple[int, str]]:
    """The lines of a module's prose that hold a word of `INSTEAD`, each with what to say."""
    return [
        (number, f"{line.strip()!r}: say {instead}")
        for number, line in prose(text)
        for word, instead in INSTEAD.items()
        if re.search(rf"\b(?:{word})\b", line, re.IGNORECASE)
    ]


def test_no_docstring_or_comment_has_a_word_that_readers_would_have_to_guess() -> None:
    """Docstrings and comments use the terms of Kafka's and Avro's documentation, with a subject that acts."""
    found = [
        f"{file.relative_to(ROOT)}:{number} {line}"
        for file in FILES
        for number, line in unwanted(file.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize("text", ['"""Nobody reads it."""', "x = 1  # told later", 'def f():\n    """It lets go."""'])
def test_a_planted_word_is_found(text: str) -> None:
    """A banned word is found in a module's docstring, a function's and a comment."""
    assert len(unwanted(text)) == 1


def test_text_of_the_program_is_no_prose() -> None:
    """Strings that the program uses are its data, not its documentation."""
    assert unwanted('x = "nobody"') == []


def test_every_class_has_a_name_of_its_own() -> None:
    """No two classes of the library and the service share a name, private ones included."""
    places = defaultdict(list)
    for file in FILES:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert {name: where for name, where in places.items() if len(where) > 1} == {}
