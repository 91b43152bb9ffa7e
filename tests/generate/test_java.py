"""The Java client of a port, built by Maven, reads and publishes with Apache's client on a real Kafka."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshport.generate.languages import Language
from tests.generate.again import check_again, program, published_shipments, written_client
from tests.generate.builds import maven_classes
from tests.mesh_session import Mesh

pytestmark = pytest.mark.kafka


def test_it_reads_and_publishes(mesh: Mesh, tmp_path: Path) -> None:
    """Every value of every kind that it read is the same after it published it, and no documentation ends a comment."""
    binding = published_shipments(mesh)
    written_client(binding, Language.JAVA, tmp_path)
    classes = maven_classes(tmp_path, {"Again.java": program("Again.java")})
    check_again(mesh, binding, ["java", "-cp", classes, "Again"], tmp_path)
