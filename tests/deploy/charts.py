"""The Helm chart as Helm renders it, for several sets of values.

The renders are kept in `chart/rendered/`, since Helm takes minutes of CPU time to build: `python -m tests.deploy.charts` writes
them. Each begins with the hash of what it was made of, so that the suite knows whether it is of the present chart. The campaign
(`python -m tests.campaigns chart`) renders them again and compares.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import platformdirs
import yaml

ROOT: Final = Path(__file__).parents[2]
CHART: Final = ROOT / "deploy" / "chart"
HERE: Final = Path(__file__).parent / "chart"
RULES: Final = HERE / "rules.yml"

VARIANTS: Final = ("default", "whole", "team", "small")
"""The chart's own values, and those of `chart/VARIANT.yaml` over them."""

Object = dict[str, Any]

HELM: Final = "v3.22.0"
KUBERNETES: Final = "v1.37.0"
"""For which version of Kubernetes it is rendered; its API has every field of `chart/team.yaml` since 1.31."""


def kept(variant: str) -> Path:
    """Return the file of a variant's render."""
    return HERE / "rendered" / f"{variant}.yaml"


def digest(variant: str) -> str:
    """Return the hash of what a render is made of: the chart without its versions, the values, and Helm's version."""
    files = [each for each in CHART.rglob("*") if each.is_file() and each.name not in {"README.md", ".helmignore"}]
    found = hashlib.sha256(f"helm {HELM}, kubernetes {KUBERNETES}".encode())
    for file in [*sorted(files), *_values(variant), RULES]:
        content = _unversioned(file.read_bytes()) if file.name == "Chart.yaml" else file.read_bytes()
        found.update(f"{file.relative_to(ROOT)} {len(content)}\n".encode() + content)
    return found.hexdigest()


def documents(variant: str) -> list[Object]:
    """Return the objects of a variant's render, as it is kept."""
    return [each for each in yaml.safe_load_all(kept(variant).read_text(encoding="utf-8")) if each]


def pods(rendered: list[Object]) -> list[tuple[Object, Object]]:
    """Return each object that makes pods, with the template of its pods."""
    found = []
    for each in rendered:
        spec = each.get("spec", {}).get("jobTemplate", each).get("spec", {})
        if "template" in spec:
            found.append((each, spec["template"]))
    return found


def helm() -> Path:
    """Return Helm, built by Go in the user's cache; that takes minutes the first time."""
    folder = platformdirs.user_cache_path("meshport") / f"helm-{HELM}"
    if not (folder / "helm").exists():
        subprocess.run(["go", "install", f"helm.sh/helm/v3/cmd/helm@{HELM}"], env=_environment(folder), check=True)
    return folder / "helm"


def render(variant: str, *arguments: str) -> str:
    """Return what `helm template` makes of a variant, after the line with its hash.

    The chart's own versions are 0.0.0 in it, so that a release does not change the renders.

    Raises:
        RuntimeError: Helm refuses it.
    """
    values = [word for file in _values(variant) for word in ("--values", str(file))]
    rules = ["--set-file", f"metrics.rules={RULES}"] if variant == "whole" else []
    with tempfile.TemporaryDirectory() as folder:
        chart = Path(shutil.copytree(CHART, Path(folder) / "meshport"))
        (chart / "Chart.yaml").write_bytes(_unversioned((CHART / "Chart.yaml").read_bytes()))
        name = ["template", "mesh", str(chart), "--namespace", "mesh", "--kube-version", KUBERNETES]
        done = subprocess.run(
            [helm(), *name, *values, *rules, *arguments], capture_output=True, text=True, check=False, encoding="utf-8"
        )
    if done.returncode:
        raise RuntimeError(done.stderr.strip())
    return f"# {digest(variant)}: `python -m tests.deploy.charts` makes this file\n{done.stdout}"


def _unversioned(chart: bytes) -> bytes:
    return re.sub(rb"(?m)^(version|appVersion): .*$", rb'\1: "0.0.0"', chart)


def _values(variant: str) -> list[Path]:
    return [] if variant == "default" else [HERE / f"{variant}.yaml"]


def _environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "GOBIN": str(folder)}


def main() -> None:
    """Write the renders."""
    for variant in VARIANTS:
        kept(variant).parent.mkdir(exist_ok=True)
        kept(variant).write_text(render(variant), encoding="utf-8")
        sys.stdout.write(f"{kept(variant).relative_to(ROOT)}\n")


if __name__ == "__main__":
    main()
