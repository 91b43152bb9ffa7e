"""How the clients of other languages are built: by npm and tsc, by Maven, by Go."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from tests.interop.packages import installed
from tests.interop.tools import do_without

_GO_MODULE: Final = Path(__file__).parents[1] / "interop" / "go"
_STRICT: Final = (
    *("--strict", "--noUncheckedIndexedAccess", "--noUnusedLocals", "--erasableSyntaxOnly", "--skipLibCheck"),
    *("--target", "es2022", "--module", "nodenext", "--types", "node"),
)


def npm_packages(folder: Path) -> Path:
    """Give a folder the packages that a client in TypeScript needs; return their folder."""
    modules = installed(program("npm"), "typescript")
    (folder / "node_modules").symlink_to(modules)
    (folder / "package.json").write_text('{"type": "module"}')
    return modules


def tsc(packages: Path) -> list[str | Path]:
    """Return the command of TypeScript's compiler, by its strict rules."""
    return [program("node"), packages / "typescript" / "bin" / "tsc", *_STRICT]


def maven_classes(folder: Path, programs: dict[str, str]) -> str:
    """Build a generated Maven module with further programs; return its class path."""
    maven = program("mvn")
    program("javac")
    for name, text in programs.items():
        (folder / "src/main/java" / name).write_text(text)
    wanted = [maven, "-q", "-B", "compile", "dependency:build-classpath", "-Dmdep.outputFile=classes"]
    got = subprocess.run(wanted, cwd=folder, capture_output=True, text=True, check=False)
    if "Could not transfer" in got.stdout or "Could not resolve" in got.stdout:
        do_without(f"Maven does not get what a client needs: {got.stdout.strip()}")
    assert got.returncode == 0, got.stdout
    return f"target/classes:{(folder / 'classes').read_text()}"


def go_module(folder: Path) -> str:
    """Make a Go module of a folder, with the modules of tests/interop/go; return the path of Go."""
    go = program("go")
    for name in ("go.mod", "go.sum"):
        shutil.copy(_GO_MODULE / name, folder)
    got = subprocess.run([go, "mod", "download"], cwd=folder, capture_output=True, text=True, check=False)
    if got.returncode:
        do_without(f"Go does not get the modules of tests/interop/go: {got.stderr.strip()}")
    return go


def program(name: str) -> str:
    """Return the path of a program, or do without."""
    return shutil.which(name) or do_without(f"there is no {name} on the path")
