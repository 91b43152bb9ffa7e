"""The tests of typed clients run the command line as its users do."""

from __future__ import annotations

from tests.cli.conftest import cli as cli  # noqa: PLC0414 - pytest finds a fixture by its name here
