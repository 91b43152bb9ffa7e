"""The pre-commit hook and the GitHub Action, by running what they run."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.repository import commit_reference_mesh, git

ROOT = Path(__file__).parents[2]
ACTION = ROOT / ".github/actions/gate/action.yml"
SCHEMA = "schemas/player/plays.events.avsc"
MISSING = "READER_FIELD_MISSING_DEFAULT_VALUE"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the reference mesh, and a copy with a field removed, uncommitted."""
    root = tmp_path / "mesh"
    commit_reference_mesh(root)
    return root


def break_plays(root: Path) -> int:
    """Remove a field that readers need from a contract, and return its line."""
    file = root / SCHEMA
    lines = file.read_text().splitlines(keepends=True)
    at = next(number for number, line in enumerate(lines) if '"name": "played_ms"' in line)
    file.write_text("".join(lines[:at] + lines[at + 1 :]))
    return at + 1


def test_the_hook_refuses_a_commit_that_breaks_a_contract(repository: Path) -> None:
    """The pre-commit hook passes on the unchanged mesh, and exits with 1 once the removal of a field is staged."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    entry = shlex.split(hook["entry"])
    bin_folder = Path(sys.executable).parent

    def run() -> subprocess.CompletedProcess[str]:
        command = [str(bin_folder / entry[0]), *entry[1:]]
        return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)

    assert run().returncode == 0
    break_plays(repository)
    git(repository, "add", ".")
    done = run()
    assert done.returncode == 1
    assert MISSING in done.stdout
    assert re.match(hook["files"], SCHEMA)
    assert not re.match(hook["files"], "docs/schemas.md")


class Workflow:
    """Runs the action's steps as a runner does: expressions filled in, `env` given, bash with `-e -o pipefail`."""

    def __init__(self, workspace: Path, temp: Path, **inputs: str) -> None:
        self.action: dict[str, Any] = yaml.safe_load(ACTION.read_text())
        self.inputs = {name: str(each["default"]) for name, each in self.action["inputs"].items()}
        self.inputs |= {name.replace("_", "-"): value for name, value in inputs.items()}
        self.workspace = workspace
        self.command = temp / "meshport-gate/bin/meshport"
        self.known = {"github.action_path": str(ACTION.parent), "runner.temp": str(temp)}

    def fill(self, text: str) -> str:
        """Return a text with its expressions filled in."""
        known = self.known | {f"inputs.{name}": value for name, value in self.inputs.items()}
        known["github.base_ref || github.event.repository.default_branch"] = "main"
        for _ in range(2):  # a default is an expression itself
            text = re.sub(r"\$\{\{ (.*?) \}\}", lambda found: known[found[1]], text)
        return text

    def run(self) -> subprocess.CompletedProcess[str]:
        """Run the steps until one fails, and return the last one that ran."""
        for step in self.action["runs"]["steps"]:
            if step["name"] == "Install" and self.command.exists():
                continue  # by the test before, in the same folder
            folder = self.workspace / self.fill(step.get("working-directory", "."))
            given = {name: self.fill(value) for name, value in step.get("env", {}).items()}
            done = subprocess.run(
                ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", step["run"]],
                cwd=folder,
                env=os.environ | OFFLINE | given,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                break
        return done


@pytest.fixture(scope="module")
def runner_temp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the action installs the project, once for these tests."""
    return tmp_path_factory.mktemp("runner")


# The action installs the project with what it depends on; here those lie beside, so that no test waits for a download.
OFFLINE = {
    "PIP_NO_DEPS": "1",
    "PIP_NO_INDEX": "1",
    "PIP_NO_BUILD_ISOLATION": "0",  # pip reads this one as "build isolation: no"
    "PYTHONPATH": sysconfig.get_path("purelib"),
}


def test_the_action_annotates_what_breaks(repository: Path, tmp_path: Path, runner_temp: Path) -> None:
    """On a shallow checkout of a branch that breaks a contract the action fails, annotates file and line, and writes SARIF."""
    git(repository, "checkout", "-b", "change")
    line = break_plays(repository)
    git(repository, "commit", "--all", "--message=what nobody reads")
    checkout = tmp_path / "checkout"
    git(tmp_path, "clone", "--quiet", "--depth=1", "--branch=change", repository.as_uri(), str(checkout))
    sarif = tmp_path / "gate.sarif"
    done = Workflow(checkout, runner_temp, python=sys.executable, sarif_file=str(sarif)).run()
    assert done.returncode == 1, done.stderr
    (error,) = (each for each in done.stdout.splitlines() if each.startswith("::error "))
    assert f"file={SCHEMA},line=1" in error or f"file={SCHEMA},line={line}" in error
    assert MISSING in error
    (run,) = json.loads(sarif.read_text())["runs"]
    assert [each["ruleId"] for each in run["results"]] == [MISSING]


def test_the_action_passes_a_branch_that_breaks_no_reader(repository: Path, tmp_path: Path, runner_temp: Path) -> None:
    """A branch that changes no contract passes."""
    git(repository, "checkout", "-b", "change")
    (repository / "notes.md").write_text("nothing\n")
    git(repository, "add", ".")
    git(repository, "commit", "--message=notes")
    checkout = tmp_path / "checkout"
    git(tmp_path, "clone", "--quiet", "--depth=1", "--branch=change", repository.as_uri(), str(checkout))
    done = Workflow(checkout, runner_temp, python=sys.executable).run()
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflow_of_this_repository_runs_its_own_check() -> None:
    """The workflow has one command, `.ci/run`, and pins each action that it uses by a commit."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = workflow["jobs"]["check"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert os.access(ROOT / ".ci/run", os.X_OK)
    assert [step["uses"] for step in steps if "uses" in step and not re.search(r"@[0-9a-f]{40}$", step["uses"])] == []
