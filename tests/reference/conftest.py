"""Fixtures of the reference mesh."""

from __future__ import annotations

from types import ModuleType

import pytest

from meshport.product.loading import load_module
from meshport.project.project import Project
from tests.reference.made import ROOT


@pytest.fixture(scope="session")
def project() -> Project:
    """The reference mesh as it lies in this repository."""
    return Project(ROOT)


@pytest.fixture(scope="session")
def world() -> ModuleType:
    """The module that the three sources are views of."""
    return load_module(ROOT / "producers" / "world.py")
