"""docs/testing.md, executed: its test file passes in the project of the README."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from meshport.testing import MemoryMesh
from tests.docs.shell import shell
from tests.docs.test_readme import MINE
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
(PROGRAM,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
# Warnings are errors, but for one that only an editable install causes; see pyproject.toml.
WARNINGS = [
    "-W",
    "error",
    "-W",
    "ignore:Module already imported so cannot be rewritten:pytest.PytestAssertRewriteWarning",
]


def test_the_example_passes(tmp_path: Path) -> None:
    """The test file of the page passes as it is printed, in a project made by the README's commands."""
    shell(MINE, tmp_path)
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_delays.py").write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *WARNINGS, "tests"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_the_plugin_imports_nothing_until_a_fixture_is_used() -> None:
    """A pytest session that uses no fixture of the plugin loads neither the Kafka client nor a model of the library."""
    code = "import sys, meshport.testing.plugin\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    ours = {name for name in done.stdout.split() if name.partition(".")[0] == "meshport"}
    assert ours == {"meshport", "meshport.version", "meshport.testing", "meshport.testing.plugin"}
    assert not {"confluent_kafka", "pydantic", "httpx2"} & set(done.stdout.split())


def test_every_call_of_the_table_exists() -> None:
    """Each method and attribute that the page names on a mesh is one of `MemoryMesh`."""
    named = set(re.findall(r"mesh\.([a-z_]+)", TEXT)) - {"py"}
    assert named >= {"publish", "run", "events", "advance", "now"}
    assert [name for name in named if not hasattr(MemoryMesh, name)] == []
