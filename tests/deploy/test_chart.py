"""The Helm chart, as `charts` has it rendered: commands are command lines, pods are restricted, no value is a secret."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # no stubs
import pytest
import yaml

import meshport
from meshport.cli.doctor import VARIABLES
from meshport.cli.output import FINDINGS, USAGE
from meshport.kafka.sources import environment_layer
from meshport.metrics.server import served
from meshport.project.clusters import kafka_clusters
from tests.deploy import charts
from tests.deploy.command_lines import parsed

VALUES: dict[str, Any] = yaml.safe_load((charts.CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA: dict[str, Any] = json.loads((charts.CHART / "values.schema.json").read_text(encoding="utf-8"))
README = (charts.CHART / "README.md").read_text(encoding="utf-8")
OF_OTHERS = {"HOME", "PGPASSWORD"}

Object = dict[str, Any]
every_variant = pytest.mark.parametrize("variant", charts.VARIANTS)


def containers(variant: str) -> Iterator[tuple[str, Object, Object]]:
    """Yield the name of each object that makes pods, the spec of its pods, and their container."""
    for owner, template in charts.pods(charts.documents(variant)):
        (container,) = template["spec"]["containers"]
        yield f"{owner['kind']} {owner['metadata']['name']}", template["spec"], container


def command(container: Object) -> list[str]:
    """Return the command line of a container, after `meshport`, which the image begins with; it has no shell."""
    assert "command" not in container
    return list(container["args"])


def options(container: Object) -> dict[str, Any]:
    """Return the options of a container's command line, those that its variables give included."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in plain_environment(container).items():
            patch.setenv(name, value)
        return parsed(command(container))


def plain_environment(container: Object) -> dict[str, str]:
    """Return the variables whose values the manifest has."""
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


def of_kind(variant: str, kind: str) -> list[Object]:
    """Return the objects of a kind."""
    return [each for each in charts.documents(variant) if each["kind"] == kind]


@every_variant
def test_a_render_is_of_this_chart(variant: str) -> None:
    """Each render begins with the hash of the chart, the values and Helm's version that it was made of."""
    written = charts.kept(variant).read_text(encoding="utf-8").partition(":")[0]
    assert written == f"# {charts.digest(variant)}", "the chart has changed: python -m tests.deploy.charts"


@every_variant
def test_every_command_is_a_command_line(variant: str) -> None:
    """The command of each container, with its variables, is a valid `meshport` command line."""
    assert [options(container) for _name, _spec, container in containers(variant)] != []


@every_variant
def test_every_variable_has_an_effect(variant: str) -> None:
    """Each variable is one that Meshport reads, or one of Kafka's properties, or of another program that is named here."""
    for name, _spec, container in containers(variant):
        properties = {key: value for key, value in plain_environment(container).items() if key not in VARIABLES}
        environment_layer({key: value for key, value in properties.items() if key.startswith("MESHPORT_KAFKA_")})
        others = {each["name"] for each in container["env"]} - VARIABLES - OF_OTHERS
        assert {each for each in others if not each.startswith("MESHPORT_KAFKA_")} == set(), name


@every_variant
def test_every_pod_is_restricted(variant: str) -> None:
    """Pods meet the restricted standard of Kubernetes, run as the image's user on a read-only root, and know no API."""
    (user,) = re.findall(r"^USER (\d+)$", (charts.ROOT / "deploy/Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    for name, spec, container in containers(variant):
        pod = spec["securityContext"]
        assert (pod["runAsNonRoot"], pod["runAsUser"]) == (True, int(user)), name
        assert pod["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }, name
        assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"], name
        assert plain_environment(container)["HOME"] == "/tmp", "what a process would write at home it writes there"
        mounted = {each["name"] for each in container["volumeMounts"]}
        assert mounted == {each["name"] for each in spec["volumes"]}, name
        assert "memory" in container["resources"]["limits"], name
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name


@every_variant
def test_secrets_are_references(variant: str) -> None:
    """No Secret is made, a variable with a secret comes from one, and the private key is mounted in the registry alone."""
    assert of_kind(variant, "Secret") == []
    for name, spec, container in containers(variant):
        for each in container["env"]:
            if each["name"] in {"PGPASSWORD", "MESHPORT_REGISTRY_TOKEN"}:
                assert list(each["valueFrom"]) == ["secretKeyRef"], name
        if container["name"] != "registry":
            (files,) = [each["secret"] for each in spec["volumes"] if each["name"] == "registry-ca"] or [None]
            assert files is None or [each["path"] for each in files["items"]] == ["ca.crt"], name


def test_every_probe_asks_for_what_is_served() -> None:
    """Probes and annotations name the port of `--metrics` and paths that a process answers there."""
    with served("0") as url:
        for variant in charts.VARIANTS:
            for owner, template in charts.pods(charts.documents(variant)):
                (container,) = template["spec"]["containers"]
                metrics = options(container).get("metrics")
                ports = {each["name"]: each["containerPort"] for each in container.get("ports", ())}
                assert (metrics is None) == (owner["kind"] in {"Job", "CronJob"})
                if metrics is None:
                    continue
                assert metrics == f"0.0.0.0:{ports['metrics']}"
                asked = [container[each]["httpGet"] for each in ("livenessProbe", "readinessProbe", "startupProbe")]
                assert [each["path"] for each in asked] == ["/health", "/ready", "/health"]
                assert {each["port"] for each in asked} == {"metrics"}
                paths = {each["path"] for each in asked}
                if "prometheus.io/scrape" in (annotations := template["metadata"].get("annotations", {})):
                    assert annotations["prometheus.io/port"] == str(ports["metrics"])
                    paths.add(annotations["prometheus.io/path"])
                for path in paths:
                    with urllib.request.urlopen(f"{url}{path}") as answer:
                        assert answer.status == 200, path


@every_variant
def test_selectors_find_their_pods(variant: str) -> None:
    """Each selector finds the pods of one owner, or a Service's several; ports of services have a container's name."""
    rendered = charts.documents(variant)
    made = [
        (template["metadata"]["labels"], template["spec"]["containers"][0])
        for _owner, template in charts.pods(rendered)
    ]

    def found(selector: Object) -> list[Object]:
        return [container for labels, container in made if selector.items() <= labels.items()]

    for each in rendered:
        spec, name = each.get("spec", {}), f"{each['kind']} {each['metadata']['name']}"
        if each["kind"] in {"Deployment", "StatefulSet", "PodDisruptionBudget"}:
            assert len(found(spec["selector"]["matchLabels"])) == 1, name
        if each["kind"] == "Service":
            targets = found(spec["selector"])
            assert targets, name
            for port in spec["ports"]:
                assert all(port["targetPort"] in {there["name"] for there in one["ports"]} for one in targets), name


@every_variant
def test_a_processors_member_is_its_pod(variant: str) -> None:
    """A processor is a StatefulSet, so that a member's name outlives its pod; a source has one pod, as two publish twice."""
    for each in of_kind(variant, "StatefulSet"):
        (container,) = each["spec"]["template"]["spec"]["containers"]
        names = [one for one in container["env"] if one["name"] == "MESHPORT_MEMBER"]
        if container["name"] == "processor":
            assert names == [{"name": "MESHPORT_MEMBER", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
        else:
            assert (container["name"], names, each["spec"]["replicas"]) == ("source", [], 1)
        assert each["spec"]["serviceName"] in [one["metadata"]["name"] for one in of_kind(variant, "Service")]


def test_topics_have_three_replicas() -> None:
    """The chart's default leads a process to three replicas, whatever the cluster shows at that moment; a trial says one."""
    for variant, replicas in (("default", None), ("whole", 3), ("team", 3), ("small", 1)):
        for _name, _spec, container in containers(variant):
            environment = {
                key: value for key, value in plain_environment(container).items() if key != "MESHPORT_KAFKA_CONFIG"
            }
            expected = None if container["name"] in {"registry", "backup"} else replicas
            assert kafka_clusters(charts.CHART, environment=environment).default.replicas == expected


def test_a_change_that_is_refused_stops_an_upgrade() -> None:
    """Where the registry is there already, `apply` is a hook before the others; what is refused is not tried again."""
    hook, first = of_kind("team", "Job")[0], of_kind("whole", "Job")[0]
    assert hook["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert "annotations" not in first["metadata"], "a registry that is not there yet cannot be asked before it is made"
    for each in (hook, first):
        (rule,) = each["spec"]["podFailurePolicy"]["rules"]
        assert (rule["action"], rule["onExitCodes"]["values"]) == ("FailJob", [FINDINGS, USAGE])


def test_rules_are_those_of_the_file() -> None:
    """A rules file of `meshport dashboards` is taken as it is, templates of Prometheus included."""
    (rules,) = of_kind("whole", "PrometheusRule")
    assert rules["spec"] == yaml.safe_load(charts.RULES.read_text(encoding="utf-8"))


def test_the_chart_installs_this_version() -> None:
    """The chart's default image has the version of this repository."""
    chart = yaml.safe_load((charts.CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert chart["appVersion"] == meshport.__version__


def test_the_schema_takes_the_values() -> None:
    """The schema is one, and takes the chart's own values and those of each variant."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA, jsonschema.Draft7Validator)
    for variant in set(charts.VARIANTS) - {"default"}:
        jsonschema.validate(yaml.safe_load((charts.HERE / f"{variant}.yaml").read_text()), SCHEMA)


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"registry": {"replicass": 3}}, "registry"),
        ({"registry": {"replicas": "two"}}, "registry/replicas"),
        ({"registry": {"replicas": 0}}, "registry/replicas"),
        ({"registry": {"database": {"password": {"secret": "not a name"}}}}, "registry/database/password/secret"),
        ({"registry": {"database": {"password": "s3cr3t"}}}, "registry/database/password"),
        ({"registryKey": {"value": "mpk_1_s3cr3t"}}, "registryKey"),
        ({"registryUrl": "https://ann:s3cr3t@mesh.example.com"}, "registryUrl"),
        ({"kafka": {"replicationFactor": 0}}, "kafka/replicationFactor"),
        ({"kafka": {"bootstrapServers": "kafka"}}, "kafka/bootstrapServers"),
        ({"kafka": {"password": "s3cr3t"}}, "kafka"),
        ({"processors": [{"adress": "shop/revenue"}]}, "processors/0"),
        ({"processors": [{"address": "revenue"}]}, "processors/0/address"),
        ({"processors": [{"address": "shop/revenue", "replicas": -1}]}, "processors/0/replicas"),
        ({"sources": [{"address": "shop/orders", "replicas": 2}]}, "sources/0"),
        ({"relays": [{"name": "shop"}]}, "relays/0"),
        ({"resources": {"limits": {"memory": "1 GB"}}}, "resources/limits/memory"),
        ({"terminationGracePeriodSeconds": 1}, "terminationGracePeriodSeconds"),
        ({"spread": "Always"}, "spread"),
        ({"metrics": {"podMonitor": {"interval": 15}}}, "metrics/podMonitor/interval"),
        ({"project": {"volume": {"name": "project", "emptyDir": {}}}}, "project/volume"),
    ],
)
def test_a_wrong_value_is_refused(wrong: Object, where: str) -> None:
    """The schema refuses unknown names, other types, numbers that cannot be, and a secret where its name belongs."""
    found = {"/".join(map(str, each.absolute_path)) for each in jsonschema.Draft7Validator(SCHEMA).iter_errors(wrong)}
    assert where in found


def test_schema_values_and_readme_have_the_same_names() -> None:
    """Each value that the schema knows has a default in values.yaml and a row in the README, and the reverse."""

    def names(schema: Object, above: str = "") -> Iterator[str]:
        schema = SCHEMA["definitions"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        if above.rpartition(".")[2] == "resources" or "properties" not in schema:
            yield above
            return
        for name, each in schema["properties"].items():
            yield from names(each, f"{above}.{name}".removeprefix("."))

    def defaults(values: Object, above: str = "") -> Iterator[str]:
        for name, each in values.items():
            path = f"{above}.{name}".removeprefix(".")
            leaf = not isinstance(each, dict) or not each or name == "resources"
            yield from [path] if leaf else defaults(each, path)

    known, given = set(names(SCHEMA)) - {"global"}, set(defaults(VALUES))
    rows = [line.split("|")[1] for line in README.splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    assert known ^ given == set()
    assert known - documented == set()
    assert {each for each in documented if "." in each} - known == set()


@pytest.mark.parametrize("kind", ["processor", "source", "relay"])
def test_the_readme_names_what_an_entry_may_have(kind: str) -> None:
    """The row of processors, sources or relays has each name that an entry of theirs takes."""
    (row,) = [line for line in README.splitlines() if line.startswith(f"| `{kind}s` |")]
    assert set(SCHEMA["definitions"][kind]["properties"]) - set(re.findall(r"`(\w+)`", row)) == set()


def test_the_values_of_the_readme_are_values() -> None:
    """The schema takes the values that the README shows."""
    (block,) = re.findall(r"^```yaml values\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    jsonschema.validate(yaml.safe_load(block), SCHEMA)


def test_the_readme_ships_beside_the_chart() -> None:
    """The folders that the README names exist."""
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (Path(charts.CHART) / target).exists(), target
