"""The Java client of a port, built by Maven, reads and publishes with Apache's client on a real Kafka."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from meshport.generate.languages import Language
from tests.generate.again import check_again, program, published_shipments, run, written_client
from tests.interop.tools import do_without
from tests.mesh_session import Mesh

pytestmark = pytest.mark.kafka


def test_it_reads_and_publishes(mesh: Mesh, tmp_path: Path) -> None:
    """Every value of every kind that it read is the same after it published it, and no documentation ends a comment."""
    binding = published_shipments(mesh)
    written_client(binding, Language.JAVA, tmp_path)
    classes = maven_classes(tmp_path, {"Again.java": program("Again.java")})
    check_again(mesh, binding, run(["java", "-cp", classes, "Again", mesh.url, "4"], tmp_path))


def maven_classes(folder: Path, programs: dict[str, str]) -> str:
    """Build a generated Maven module with further programs; return its class path."""
    maven = shutil.which("mvn") or do_without("there is no mvn on the path")
    if shutil.which("javac") is None:
        do_without("there is no javac on the path")
    for name, text in programs.items():
        (folder / "src/main/java" / name).write_text(text)
    wanted = [maven, "-q", "-B", "compile", "dependency:build-classpath", "-Dmdep.outputFile=classes"]
    got = subprocess.run(wanted, cwd=folder, capture_output=True, text=True, check=False)
    if "Could not transfer" in got.stdout or "Could not resolve" in got.stdout:
        do_without(f"Maven does not get what a client needs: {got.stdout.strip()}")
    assert got.returncode == 0, got.stdout
    return f"target/classes:{(folder / 'classes').read_text()}"
