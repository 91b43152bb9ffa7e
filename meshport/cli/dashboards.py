"""`meshport dashboards`: Prometheus' rules and Grafana's dashboards of a mesh."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from meshport.cli.output import emit, say
from meshport.cli.session import JsonOption, RegistryOption, open_registry
from meshport.errors import FileError, ProjectError
from meshport.observe.dashboards import mesh_dashboard, product_dashboard
from meshport.observe.products import registered_products
from meshport.observe.rules import mesh_rules
from meshport.product import Product
from meshport.project.project import Project


def dashboards(
    to: Annotated[
        Path, typer.Option("--to", metavar="FOLDER", help="Where the files are written; earlier ones are replaced.")
    ] = Path("deploy"),
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Write alerts and dashboards, from what products promise.

    Of the products of this project; outside of a project, of all that are registered. FOLDER/prometheus gets the alerts:
    a promise of `slaProperties` that is broken, a processor that does not run or is stuck, what is quarantined, an outbox whose
    rows wait. FOLDER/grafana gets a dashboard of the mesh, and one of each product. A promise that no metric shows is named.

    Examples:
        meshport dashboards
        meshport dashboards --to monitoring --registry https://registry.example.com
    """
    products = _products(registry)
    rules = mesh_rules(products)
    files = {Path("prometheus/meshport.rules.yml"): rules.text()}
    for each in (mesh_dashboard(), *(product_dashboard(one) for one in products)):
        files[Path(f"grafana/{each.name}.json")] = each.text()
    changed = 0
    for name, text in files.items():
        written = _write(to / name, text)
        changed += written
        if json:
            emit({"file": str(to / name), "written": written})
    for line in rules.unmeasured:
        say(f"note: {line}")
    alerts = sum(map(len, rules.alerts.values()))
    say(f"{to}: {alerts} alerts and {len(files) - 1} dashboards in {len(files)} files, {changed} of them written anew")


def _products(registry: str | None) -> list[Product]:
    try:
        project = Project.find(Path.cwd())
    except ProjectError:
        with open_registry(registry) as mesh:
            return [each.descriptor for each in registered_products(mesh)]
    return [each.product for each in project.products]


def _write(file: Path, text: str) -> bool:
    """Write a file where its text differs; return whether it did."""
    try:
        if file.is_file() and file.read_text(encoding="utf-8") == text:
            return False
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except (OSError, ValueError) as error:
        raise FileError(f"{file} cannot be written: {error}", hint="--to names a folder that can") from error
    return True
