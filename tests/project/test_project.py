"""A project as it lies on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshport.project.project import Project

ROOT = Path(__file__).parents[2]


def test_a_project_by_a_relative_path_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder `.` gives the products that the folder's whole path gives."""
    monkeypatch.chdir(ROOT)
    named = [each.product.address for each in Project(Path()).products]
    assert named == [each.product.address for each in Project(ROOT).products]
    assert len(named) == 7
