"""Python source that is put together line by line for one schema, run once, and can say where in the schema a line stands.

A name or symbol of a schema never becomes code: it enters as `repr()` of a str, or as a constant of the namespace.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from types import CodeType, TracebackType
from typing import Any, Final

_NUMBER: Final = itertools.count(1)
# Python refuses more than 20 loops or 100 indentations in one another; what lies deeper becomes a function of its own.
MAX_INDENT: Final = 12


class Source:
    """Lines of generated code with the place in the schema that each belongs to."""

    def __init__(self, constants: dict[str, Any]) -> None:
        self._lines: list[str] = []
        self._places: list[tuple[str, str]] = []
        self._namespace: dict[str, Any] = dict(constants)
        self._file = f"<meshport codec {next(_NUMBER)}>"
        self._names = itertools.count()
        self.place = ("", "")  # the path and kind of what is being emitted

    def add(self, indent: int, line: str) -> None:
        """One line of code that belongs to the current place."""
        self._lines.append(" " * indent + line)
        self._places.append(self.place)

    def mark(self, indent: int) -> int:
        """A line that `fill` may complete later; until then it does nothing."""
        self.add(indent, "pass")
        return len(self._lines) - 1

    def fill(self, mark: int, line: str) -> None:
        """Put code in the place of a mark, with its indentation."""
        self._lines[mark] = self._lines[mark].replace("pass", line)

    def name(self, prefix: str = "v") -> str:
        """A name that nothing else in this source has."""
        return f"{prefix}{next(self._names)}"

    def constant(self, value: Any) -> str:
        """The name under which the code finds a value."""
        name = self.name("K")
        self._namespace[name] = value
        return name

    def function(self, name: str, constants: dict[str, Any]) -> Callable[..., Any]:
        """Run the source with further constants and take one of its functions."""
        self._namespace |= constants
        code: CodeType = compile("\n".join(self._lines), self._file, "exec")
        exec(code, self._namespace)  # noqa: S102 - built here from constants and repr() alone
        function: Callable[..., Any] = self._namespace[name]
        return function

    def places(self, traceback: TracebackType | None) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Path, kind and local variables of each frame of this source within a traceback, outermost first."""
        while traceback is not None:
            frame = traceback.tb_frame
            if frame.f_code.co_filename == self._file:
                path, kind = self._places[traceback.tb_lineno - 1]
                yield path, kind, frame.f_locals
            traceback = traceback.tb_next
