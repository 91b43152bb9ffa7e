"""The command line as its users have it: in this process where nothing outside of it matters."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from meshport.cli import main
from tests.cli.running import Ended, Run, on
from tests.mesh_session import Mesh


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `meshport ...` in an empty directory, without any of the environment's variables of ours."""
    for name in [each for each in os.environ if each.startswith(("MESHPORT_REGISTRY", "MESHPORT_KAFKA"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, stdin: bytes = b"", **environment: str) -> Ended:
        capfd.readouterr()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "argv", ["meshport", *arguments])
            patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            with mock.patch.dict(os.environ, environment):  # options of a command may be variables for its processes
                try:
                    main()
                except SystemExit as end:
                    code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
                else:
                    code = 0
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Ended(code, out, err)

    return run


@pytest.fixture
def on_mesh(cli: Run, mesh: Mesh) -> Run:
    """Run `meshport ...` with the session's mesh named by the environment."""

    def run(*arguments: str, **options: Any) -> Ended:
        return cli(*arguments, **on(mesh) | options)

    return run
