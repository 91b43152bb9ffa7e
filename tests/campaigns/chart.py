"""The Helm chart, by Helm itself, the schemas of Kubernetes' API, and Kubernetes' own API server.

Helm lints it strictly and renders it for each set of values, as the suite has it and for an upgrade. The API has to take each
object, with unknown fields refused. Then each object is spoilt in every field, one at a time, and the API has to refuse it each
time: a schema that takes anything would find nothing. A server takes each release and its upgrade, and admits each pod to a
namespace of the restricted standard. At last Helm is given values that do not go together.
"""

from __future__ import annotations

import copy
import subprocess
import time
from collections.abc import Callable
from typing import Final

import yaml

from tests.campaigns.outcome import Outcome, say
from tests.deploy import charts
from tests.deploy.api_server import api_server
from tests.deploy.kubernetes_api import VERSIONS, mutations, refusals

_PROCESSOR: Final = ["--set", "project.image=shop:1", "--set", "processors[0].address=shop/revenue"]
REFUSED: Final[dict[str, list[str]]] = {
    "additional properties 'replicass' not allowed": ["--set", "registry.replicass=3"],
    "at '/registry/replicas': got string, want integer": ["--set", "registry.replicas=two"],
    "registry.database: `url` has a password": ["--set", "registry.database.url=postgresql://ann:s3cr3t@db/mesh"],
    "so there is no SQLite here": ["--set", "registry.database.url=sqlite:///registry.db"],
    "processors and sources run in a mesh project": ["--set", "processors[0].address=shop/revenue"],
    "are two projects": [*_PROCESSOR, "--set", "project.volume.emptyDir.medium=Memory"],
    "needs the URL of one": [*_PROCESSOR, "--set", "registry.enabled=false"],
    "over HTTP": [*_PROCESSOR, "--set", "registry.tls.secret=", "--set", "registryKey.secret=shop-key"],
    "would be named mesh-shop-revenue": [*_PROCESSOR, "--set", "sources[0].address=shop/revenue"],
    "Kubernetes takes 52": [*_PROCESSOR, "--set", f"processors[0].name={'r' * 48}"],
    "`issuer` needs `audience`": ["--set", "registry.oidc.issuer=https://login.example.com"],
    "`id` needs `registry.oidc.issuer`": ["--set", "registry.oidc.client.id=catalog"],
    "`secret` needs `id`": ["--set", "registry.oidc.client.secret=catalog-client"],
    "there are none over HTTP": ["--set", "registry.tls.secret=", "--set", "registry.tls.clientCertificates=true"],
    "`enabled` needs `host`": ["--set", "registry.ingress.enabled=true"],
    "`enabled` needs `claim`": ["--set", "registry.backup.enabled=true"],
    "is no rules file of Prometheus": ["--set", "metrics.rules=up"],
}
"""What Helm says, and the values of which it says so."""


def run() -> list[Outcome]:
    """Return an outcome for each part."""
    return [
        _timed("chart, lint", _lint),
        _timed("chart, renders", _renders),
        _timed("chart, objects", _objects),
        _timed("chart, spoilt objects", _spoilt),
        _timed("chart, API server", _server),
        _timed("chart, values", _values),
    ]


def _timed(name: str, part: Callable[[], tuple[str, list[str]]]) -> Outcome:
    begun = time.monotonic()
    done, wrong = part()
    for each in wrong:
        say(f"{name}: {each}")
    return Outcome(name, done, None, time.monotonic() - begun, right=not wrong)


def _lint() -> tuple[str, list[str]]:
    wrong = []
    for variant in charts.VARIANTS:
        values = [] if variant == "default" else ["--values", str(charts.HERE / f"{variant}.yaml")]
        command = [
            str(charts.helm()),
            "lint",
            "--strict",
            str(charts.CHART),
            "--kube-version",
            charts.KUBERNETES,
            *values,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        wrong += [f"{variant}: {done.stdout}{done.stderr}"] if done.returncode else []
    return f"{len(charts.VARIANTS)} sets of values", wrong


def _renders() -> tuple[str, list[str]]:
    wrong = [
        f"{variant}: another render than {charts.kept(variant)}: python -m tests.deploy.charts"
        for variant in charts.VARIANTS
        if charts.render(variant) != charts.kept(variant).read_text(encoding="utf-8")
    ]
    return f"{len(charts.VARIANTS)} compared", wrong


def _rendered() -> list[tuple[str, charts.Object]]:
    return [
        (f"{variant} {each['kind']} {each['metadata']['name']}", each)
        for variant in charts.VARIANTS
        for how in ([], ["--is-upgrade"])
        for each in yaml.safe_load_all(charts.render(variant, *how))
        if each
    ]


def _objects() -> tuple[str, list[str]]:
    rendered = _rendered()
    wrong = [
        f"{name}, Kubernetes {version}: {why}"
        for name, each in rendered
        for version in VERSIONS
        for why in refusals(each, version)
    ]
    return f"{len(rendered)} objects, Kubernetes {' and '.join(VERSIONS)}", wrong


def _spoilt() -> tuple[str, list[str]]:
    made, wrong = 0, []
    for name, each in ((name, each) for variant in charts.VARIANTS for name, each in _named(variant)):
        for what, spoilt in mutations(each):
            made += 1
            if not refusals(spoilt, VERSIONS[-1]):
                wrong.append(f"taken: {name}: {what}")
    return f"{made - len(wrong)} of {made} refused", wrong


def _named(variant: str) -> list[tuple[str, charts.Object]]:
    return [(f"{variant} {each['kind']}", each) for each in charts.documents(variant)]


def _server() -> tuple[str, list[str]]:
    applied, pods, wrong = 0, 0, []
    with api_server() as server:
        for variant in charts.VARIANTS:
            for how in ([], ["--is-upgrade"]):
                rendered = [each for each in yaml.safe_load_all(charts.render(variant, *how)) if each]
                for each in rendered:
                    applied += 1
                    if why := server.apply(each):
                        wrong.append(f"{variant}: {each['kind']} {each['metadata']['name']}: {why}")
                for owner, template in charts.pods(rendered):
                    pods += 1
                    if why := server.create_pod(owner["metadata"]["name"], template):
                        wrong.append(f"{variant}: a pod of {owner['kind']} {owner['metadata']['name']}: {why}")
        wrong += [f"warning: {each}" for each in server.warnings]
        refused = [server.apply(each, dry_run=True) for each in _impossible()]
        wrong += [f"taken: {name}" for name, why in zip(IMPOSSIBLE, refused, strict=True) if why is None]
        admitted = server.create_pod("root", _as_root())
        wrong += ["a pod of root is admitted"] if admitted is None else []
    return f"{applied} applied, {pods} pods admitted, {len(refused) + 1} refused", wrong


IMPOSSIBLE: Final = (
    "a label that is none",
    "a name that is none",
    "a port beyond the last",
    "less than no replicas",
    "a quantity",
)
"""What a schema of types alone takes, and the server does not."""


def _impossible() -> list[charts.Object]:
    (deployment,) = [each for each in charts.documents("default") if each["kind"] == "Deployment"]
    made = [copy.deepcopy(deployment) for _ in IMPOSSIBLE]
    label, name, port, replicas, quantity = made
    label["metadata"]["labels"]["helm.sh/chart"] = "meshport 0.1.0+1"
    name["metadata"]["name"] = "mesh_registry"
    port["spec"]["template"]["spec"]["containers"][0]["ports"][0]["containerPort"] = 80_811
    replicas["spec"]["replicas"] = -1
    quantity["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] = "1 GB"
    return made


def _as_root() -> charts.Object:
    ((_owner, template),) = charts.pods(charts.documents("default"))
    made = copy.deepcopy(template)
    made["spec"]["securityContext"] |= {"runAsNonRoot": False, "runAsUser": 0}
    return made


def _values() -> tuple[str, list[str]]:
    wrong = []
    for said, values in REFUSED.items():
        try:
            charts.render("default", *values)
        except RuntimeError as error:
            if said not in str(error) or "s3cr3t" in str(error):
                wrong.append(f"{values}: {error}")
        else:
            wrong.append(f"{values} are taken")
    return f"{len(REFUSED)} refused", wrong
