"""Runs registries of the Meshport that this interpreter has, for tests in another one: `python registry_host.py`.

A line of JSON on stdin is a request: `{"start": SETTINGS}` answers `{"number": N, "url": URL}` or `{"error": KIND, "message":
TEXT}`, and `{"stop": N}` answers `{}`. The end of stdin stops all of them.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from typing import Any

from meshport_registry import Settings, running


def main() -> None:
    """Answer requests until stdin ends."""
    opened: dict[int, ExitStack] = {}
    for line in sys.stdin:
        asked: dict[str, Any] = json.loads(line)
        if "stop" in asked:
            opened.pop(asked["stop"]).close()
            answer: dict[str, Any] = {}
        else:
            stack = ExitStack()
            try:
                url = stack.enter_context(running(Settings.model_validate(asked["start"])))
            except Exception as error:  # noqa: BLE001 - the edge of the process; the caller raises it
                answer = {"error": type(error).__name__, "message": str(error)}
            else:
                number = max(opened, default=0) + 1
                opened[number] = stack
                answer = {"number": number, "url": url}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for each in opened.values():
        each.close()


if __name__ == "__main__":
    main()
