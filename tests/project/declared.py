"""A project on disk that is applied to the session's mesh."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

from meshport.kafka.admins import ClusterAdmins
from meshport.project.apply import carry_out, plan
from meshport.project.project import FOLDERS, Project
from meshport.registry import Registry
from tests.mesh_session import Mesh

FIELDS: list[dict[str, str]] = [{"name": "id", "type": "string"}]


class Declared:
    """A project on disk whose products have a domain that no other test has."""

    def __init__(self, root: Path, mesh: Mesh) -> None:
        self.root = root
        self.domain = f"d{uuid4().hex[:8]}"
        self.registry: Registry = mesh.registry
        self.servers = mesh.bootstrap_servers
        self.admins = ClusterAdmins(mesh.kafka)
        self.admin = self.admins.of(None)
        self.ids = {name: str(uuid4()) for name in ("source", "derived")}
        for name in FOLDERS:
            (root / name).mkdir()

    def write(
        self, name: str = "source", *, port: str = "", fields: list[dict[str, str]] | None = None, reads: str = ""
    ) -> None:
        """Declare a product, or declare it anew."""
        kind = "processors" if reads else "producers"
        file = self.root / kind / self.domain / name / "product.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        inputs = f"inputPorts: [{{address: {reads}}}]\n" if reads else ""
        file.write_text(
            f"address: {self.domain}/{name}\nid: {self.ids[name]}\n"
            f"archetype: {'aggregate' if reads else 'source-aligned'}\ndescription: d\nowner: o\n{inputs}"
            f"outputPorts:\n  - name: events\n    key: id\n    partitions: 2\n{port}",
            encoding="utf-8",
        )
        contract = self.root / "schemas" / self.domain / f"{name}.events.avsc"
        contract.parent.mkdir(exist_ok=True)
        contract.write_text(json.dumps({"type": "record", "name": "R", "fields": fields or FIELDS}), encoding="utf-8")

    def plan(self) -> list[str]:
        """The changes of a plan, as text."""
        planned = plan(Project(self.root).products, self.registry, self.admins)
        return [str(each) for one in planned for each in (*one.topics, *one.ids, *one.registration.changed)]

    def apply(self) -> int:
        """Carry a plan out; how many products changed."""
        planned = [one for one in plan(Project(self.root).products, self.registry, self.admins) if one.changes]
        for one in planned:
            carry_out(one, self.registry, self.admins)
        return len(planned)

    def topic(self, name: str = "source") -> str:
        """The topic of a product's port."""
        return f"{self.domain}.{name}.events.v1"
