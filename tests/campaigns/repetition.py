"""The tests of the suite that draw at random, each in its long form: 10,000 bombs, 2,000 schemas, 200,000 mutated payloads."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.campaigns.outcome import Outcome, say
from tests.repeats import CAMPAIGN

_MARKS = "repeated or hypothesis"
_TIMEOUT_S = 3600  # of a test; it ends a hang


def run() -> list[Outcome]:
    """Run them and print what pytest prints; an outcome for each test."""
    with tempfile.TemporaryDirectory(prefix="meshport-campaign-") as folder:
        file = Path(folder) / "tests.xml"
        command = [sys.executable, "-m", "pytest", "-m", _MARKS, f"--timeout={_TIMEOUT_S}", f"--junitxml={file}"]
        ended = subprocess.run(command, env=os.environ | {CAMPAIGN: "1"}, check=False)
        found = [_outcome(case) for case in ET.parse(file).getroot().iter("testcase")] if file.exists() else []
    if ended.returncode or not found:
        say(f"pytest ended with exit code {ended.returncode}")
        found.append(Outcome("repeated", f"exit code {ended.returncode}", None, 0, right=False))
    return found


def _outcome(case: ET.Element) -> Outcome:
    ends = [each.tag for each in case if each.tag in {"failure", "error", "skipped"}]
    name = f"{case.get('classname', '').removeprefix('tests.')} {case.get('name', '').removeprefix('test_')}"
    return Outcome(name, ", ".join(ends) or "passed", None, float(case.get("time", 0)), not ends)
