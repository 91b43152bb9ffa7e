"""A registry and its clients of two revisions: the suite of the client's tests, each against the registry of the other.

The older revision is checked out beside this one, with an environment of its own. A test that fails is a difference. It is
as it should be where the client says in words that the registry is older or newer and does not have what was asked for, or
where `KNOWN` has the reason.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from meshport import __version__
from tests.campaigns.outcome import Outcome, say
from tests.registry.client_suite import CLIENT_SUITE

ROOT: Final = Path(__file__).parents[2]
APART: Final = Path(__file__).parent / "apart"

_CLEAR: Final = re.compile(
    r"the registry runs Meshport \S+, which is (older|newer)|the registry names no version: if it is Meshport's, it is older"
    r"|Meshport \S+ does not know this"
)

KNOWN: Final[Mapping[str, str]] = {}
"""The reason of a difference that is meant, by a pattern of the test's name."""


@dataclass(frozen=True)
class Checkout:
    """A checkout with an environment.

    Attributes:
        name: for people.
        root: of the checkout.
        python: its interpreter.
    """

    name: str
    root: Path
    python: Path


@dataclass(frozen=True)
class Difference:
    """A test that failed against the registry of the other revision.

    Attributes:
        test: its name.
        error: the last line of its traceback.
        reason: why that is as it should be; None where it is not.
    """

    test: str
    error: str
    reason: str | None


def run(older: str | None) -> list[Outcome]:
    """Run both suites, print each difference, and return what became of them.

    Args:
        older: a revision of git; by default the newest one of another version.
    """
    revision = older or newest_of_another_version()
    with checked_out(revision) as old:
        new = Checkout(f"{__version__} (this one)", ROOT, Path(sys.executable))
        return [_suite(old, new), _suite(new, old)]


def newest_of_another_version() -> str:
    """Return the newest commit before this version began.

    Raises:
        LookupError: every commit is of this version.
    """
    word = f'= "{__version__}"'
    found = _git("log", "--format=%H", f"-S{word}", "--", "meshport/__init__.py", "meshport/version.py").split()
    if not found:
        raise LookupError(f"no commit before Meshport {__version__}: name one with --older")
    return _git("rev-parse", f"{found[-1]}^")


@contextmanager
def checked_out(revision: str) -> Iterator[Checkout]:
    """Check a revision out and make its environment; both are gone afterwards."""
    commit = _git("rev-parse", "--verify", f"{revision}^{{commit}}")
    folder = Path(tempfile.mkdtemp(prefix="meshport-older-"))
    root = folder / "checkout"
    try:
        _git("worktree", "add", "--detach", str(root), commit)
        python = _environment(root)
        version = _output([str(python), "-c", "import meshport; print(meshport.__version__)"], root)
        yield Checkout(f"{version} ({commit[:9]})", root, python)
    finally:
        _git("worktree", "remove", "--force", str(root))
        shutil.rmtree(folder, ignore_errors=True)


def _environment(root: Path) -> Path:
    """Make the environment of a checkout, and return its interpreter.

    Where both revisions lock the same packages, it is the checkout beside the packages of this environment.
    """
    python = root / ".venv/bin/python"
    lock = "requirements.lock"
    if (root / lock).read_bytes() == (ROOT / lock).read_bytes():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / ".venv")], check=True)
        own = Path(_output([str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], root))
        paths = (root, root / "registry", sysconfig.get_path("purelib"))
        (own / "checkout.pth").write_text("".join(f"{each}\n" for each in paths), encoding="utf-8")
        return python
    subprocess.run([sys.executable, "-m", "venv", str(root / ".venv")], check=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--require-hashes", "--requirement", lock], cwd=root, check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "--editable", "."], cwd=root, check=True)
    return python


def _suite(client: Checkout, registry: Checkout) -> Outcome:
    """Run the tests of one revision's client against the registry of the other."""
    name = f"client {client.name}, registry {registry.name}"
    begun = time.monotonic()
    modules = [each for each in CLIENT_SUITE if (client.root / each).exists()]
    with tempfile.TemporaryDirectory() as folder:
        for each in ("other_registry.py", "registry_host.py"):
            shutil.copy(APART / each, folder)
        file = Path(folder) / "tests.xml"
        command = [str(client.python), "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "other_registry"]
        subprocess.run(
            # What a registry answers does not depend on its database.
            [*command, "-k", "not postgres", "--tb=line", f"--junitxml={file}", *modules],
            cwd=client.root,
            env=os.environ
            | {
                "PYTHONPATH": folder,
                "MESHPORT_OTHER_PYTHON": str(registry.python),
                "MESHPORT_REGISTRY_HOST": str(Path(folder) / "registry_host.py"),
            },
            stdout=subprocess.DEVNULL,
            check=False,
        )
        cases = list(ET.parse(file).getroot().iter("testcase")) if file.exists() else []
    failed = [found for each in cases if (found := difference(each)) is not None]
    skipped = sum(each.find("skipped") is not None for each in cases)
    passed = len(cases) - len(failed) - skipped
    say(f"{name}: {passed} passed, {len(failed)} differ, {skipped} skipped, of {len(modules)} files")
    for one in failed:
        say(f"  {one.test}: {one.error}\n    {one.reason or 'WRONG: no reason is known'}")
    wrong = [each for each in failed if each.reason is None]
    done = f"{passed} passed, {len(failed)} differ, {len(wrong)} without a reason"
    return Outcome(f"versions, {name}", done, None, time.monotonic() - begun, right=passed > 0 and not wrong)


def difference(case: ET.Element) -> Difference | None:
    """Return the difference of a test of a JUnit report; None where it passed or was skipped."""
    found = next((each for each in case if each.tag in {"failure", "error"}), None)
    if found is None:
        return None
    test = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name', '')}"
    text = f"{found.get('message', '')}\n{found.text or ''}"
    error = (found.get("message") or "").strip().splitlines() or [""]
    reason = next((why for pattern, why in KNOWN.items() if fnmatch(test, pattern)), None)
    if reason is None and (clear := _CLEAR.search(text)):
        reason = f"the client says so: {clear[0]}"
    return Difference(test, error[0][:200], reason)


def _git(*arguments: str) -> str:
    return _output(["git", *arguments], ROOT)


def _output(command: list[str], folder: Path) -> str:
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()
