"""Generated Python source: built line by line for a schema, executed once, with the schema location of each line.

Names and symbols of a schema never become code. They enter as `repr()` of a str, or as constants of the namespace.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from types import CodeType, TracebackType
from typing import Any, Final

_NUMBER: Final = itertools.count(1)
# Python refuses more than 20 nested loops or 100 indentations; deeper types become functions.
MAX_INDENT: Final = 12


class GeneratedSource:
    """Lines of generated code, each with the schema location that it was generated for."""

    def __init__(self, constants: dict[str, Any]) -> None:
        self._lines: list[str] = []
        self._locations: list[tuple[str, str]] = []
        self._namespace: dict[str, Any] = dict(constants)
        self._file = f"<meshport codec {next(_NUMBER)}>"
        self._names = itertools.count()
        self.location = ("", "")  # path and kind of the type whose code is being emitted

    def add(self, indent: int, line: str) -> None:
        """Add a line of code for the current location."""
        self._lines.append(" " * indent + line)
        self._locations.append(self.location)

    def mark(self, indent: int) -> int:
        """Add a line without effect, which `fill` may replace later; return its number."""
        self.add(indent, "pass")
        return len(self._lines) - 1

    def fill(self, mark: int, line: str) -> None:
        """Replace a marked line by code, with the indentation of the mark."""
        self._lines[mark] = self._lines[mark].replace("pass", line)

    def name(self, prefix: str = "v") -> str:
        """Return a name that is new in this source."""
        return f"{prefix}{next(self._names)}"

    def constant(self, value: Any) -> str:
        """Add a constant to the namespace; return its name."""
        name = self.name("K")
        self._namespace[name] = value
        return name

    def function(self, name: str, constants: dict[str, Any]) -> Callable[..., Any]:
        """Execute the source with further constants and return one of its functions."""
        self._namespace |= constants
        code: CodeType = compile("\n".join(self._lines), self._file, "exec")
        exec(code, self._namespace)  # noqa: S102 - built here from constants and repr() alone
        function: Callable[..., Any] = self._namespace[name]
        return function

    def locate(self, traceback: TracebackType | None) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Yield path, kind and local variables of each frame of this source in a traceback, outermost first."""
        while traceback is not None:
            frame = traceback.tb_frame
            if frame.f_code.co_filename == self._file:
                path, kind = self._locations[traceback.tb_lineno - 1]
                yield path, kind, frame.f_locals
            traceback = traceback.tb_next
