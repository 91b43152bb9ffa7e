"""Loads a product's own Python by its path, since products are no installed packages."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

from meshport.address import nearest
from meshport.errors import ProjectError


def load_callable(folder: Path, reference: str) -> Callable[..., Any]:
    """Return the function that `<file>.py:<name>` names.

    Args:
        folder: the product's folder; the file is relative to it.
        reference: the reference as written in the descriptor.

    Raises:
        ProjectError: there is no such file, running it fails, or it has no such function.
    """
    name, colon, function = reference.rpartition(":")
    if not colon or not name.endswith(".py") or not function.isidentifier():
        raise ProjectError(f"{reference!r} names no Python function", hint="<file>.py:<name>, relative to the product")
    module = load_module(folder / name)
    found = getattr(module, function, None)
    if not callable(found):
        near = nearest(function, [each for each in vars(module) if not each.startswith("_")])
        raise ProjectError(
            f"{folder / name} has no function {function!r}", hint=f"did you mean {near!r}?" if near else None
        )
    return found  # type: ignore[no-any-return]  # a module's attribute is Any


def load_module(file: Path) -> ModuleType:
    """Run a Python file as a module of its own; an unchanged file runs once in a process.

    Raises:
        ProjectError: there is no such file, or running it fails.
    """
    path = file.resolve()
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ProjectError(f"{file} cannot be read: {error}", file=str(file)) from error
    name = f"meshport_product_{sha256(str(path).encode() + text).hexdigest()[:16]}"
    if known := sys.modules.get(name):
        return known
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ProjectError(f"{file} is no Python file", file=str(file))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look up a class's module by its name
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, Exception):
            lines = [each.lineno for each in traceback.extract_tb(error.__traceback__) if each.filename == str(path)]
            at = f", line {lines[-1]}," if lines else ""
            raise ProjectError(
                f"{file}{at} cannot be loaded: {type(error).__name__}: {error}", file=str(file)
            ) from error
        raise
    return module
