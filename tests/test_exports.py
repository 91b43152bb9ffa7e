"""The library's public names."""

from __future__ import annotations

import subprocess
import sys

import meshport
import meshport_registry


def test_public_names_are_sorted_and_real() -> None:
    """`meshport.__all__` is sorted, without repetition, and each name is there."""
    assert meshport.__all__ == sorted(set(meshport.__all__))
    assert all(getattr(meshport, name, None) is not None for name in meshport.__all__)


def test_each_public_name_is_documented() -> None:
    """Each public name has a docstring of its own, and comes from this library."""
    for name in meshport.__all__:
        found = getattr(meshport, name)
        assert found.__doc__, name
        assert found.__module__.startswith("meshport."), name


def test_a_star_import_gives_the_public_names_alone() -> None:
    """`from meshport import *` gives what `__all__` says, so that what is not named there is free to change."""
    code = "names = set(dir()) | {'names'}\nfrom meshport import *\nprint(*sorted(set(dir()) - names))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == meshport.__all__


def test_importing_the_library_loads_no_extra() -> None:
    """The core works without the extras: importing it loads neither the service, nor faust, nor the command line."""
    code = "import sys, meshport\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert loaded.isdisjoint({"fastapi", "sqlalchemy", "faust", "jgo", "typer", "meshport_registry"})


def test_the_service_is_loaded_on_first_use() -> None:
    """The commands of the registry's database import its package without the service, whose names are there when asked for."""
    code = "import sys, meshport_registry.identity.offline\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert set(done.stdout.split()).isdisjoint({"meshport_registry.app", "meshport_registry.server", "jinja2"})
    assert all(getattr(meshport_registry, name).__doc__ for name in meshport_registry.__all__)
    assert set(meshport_registry.__all__) <= set(dir(meshport_registry))
