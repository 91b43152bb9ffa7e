"""A mesh project in a git repository of its own, for tests to change and compare."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from meshport.address import Address
from meshport.gate.before import PastSource
from meshport.gate.docket import Docket, docket
from meshport.gate.sources import parse_against
from meshport.project.project import FOLDERS, Project
from meshport.registry import Registry

_WHO = ("-c", "user.name=tests", "-c", "user.email=tests@example.com", "-c", "commit.gpgSign=false")


def git(folder: Path, *arguments: str) -> str:
    """Run git with an identity of its own, whatever this machine has configured, and return its output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *_WHO, "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder,
        env=clean | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def no_registry() -> Registry:
    """Fail, for a source that must not use a registry."""
    raise AssertionError("nobody asked for the registry")


def record(name: str, *fields: Any, namespace: str = "shop") -> dict[str, Any]:
    """Return a record of an id and some fields: a name for an optional text, or a field in full."""
    every = [each if isinstance(each, dict) else {"name": each, "type": "string", "default": ""} for each in fields]
    return {
        "type": "record",
        "name": name,
        "namespace": namespace,
        "fields": [{"name": "id", "type": "string"}, *every],
    }


@dataclass(frozen=True)
class Mesh:
    """A project on disk.

    Attributes:
        root: its folder.
        top: the repository's folder.
    """

    root: Path
    top: Path

    @classmethod
    def make(cls, top: Path, folder: str = "") -> Mesh:
        """Return an empty project in an empty repository, or in a subfolder of one."""
        root = top / folder
        for name in FOLDERS:
            (root / name).mkdir(parents=True)
        git(top, "init", "-q", "-b", "main")
        return cls(root, top)

    @property
    def project(self) -> Project:
        """Return the project as it is now."""
        return Project(self.root)

    def product(
        self,
        key: str,
        schema: Any = None,
        *,
        reads: Mapping[str, Sequence[str]] | None = None,
        ports: str = "- name: events",
        kind: str = "",
        more: str = "",
    ) -> Path:
        """Write a product and its default contract, and return the descriptor; the id of an existing product is kept."""
        file = self.root / (kind or ("processors" if reads else "producers")) / key / "product.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        known = [line[4:] for line in file.read_text().splitlines() if line.startswith("id: ")] if file.exists() else []
        inputs = "".join(
            f"  - {{address: {each}, fields: [{', '.join(names)}]}}\n" for each, names in (reads or {}).items()
        )
        file.write_text(
            f"address: mesh://{key}\nid: {known[0] if known else uuid4()}\n"
            f"archetype: {'aggregate' if reads else 'source-aligned'}\ndescription: Ünïcode, and more.\nowner: o\n{more}"
            + (f"inputPorts:\n{inputs}" if inputs else "")
            + f"outputPorts:\n  {ports}\n",
            encoding="utf-8",
        )
        if schema is not None:
            self.schema(f"{key}.events", schema)
        return file

    def schema(self, name: str, form: Any) -> Path:
        """Write a file below schemas/."""
        file = self.root / "schemas" / f"{name}.avsc"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(form if isinstance(form, str) else json.dumps(form, indent=2), encoding="utf-8")
        return file

    def commit(self, message: str = "more") -> str:
        """Commit all files, and return the commit's id."""
        git(self.top, "add", "-A")
        git(self.top, "commit", "-q", "--allow-empty", "-m", message)
        return git(self.top, "rev-parse", "HEAD")

    def against(self, text: str = "main") -> PastSource:
        """Return the source that the work tree is compared with."""
        return parse_against(text, self.project, no_registry)

    def docket(self, *addresses: str, against: str = "main") -> Docket:
        """Return the docket of a comparison."""
        project = self.project
        source = parse_against(against, project, no_registry)
        return docket(project, [Address.parse(each) for each in addresses], source)
