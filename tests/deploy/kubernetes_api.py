"""The schemas of Kubernetes' own API, and of the two resources of Prometheus' operator; none takes a field that it does not know.

Those of Kubernetes are its OpenAPI documents, as the package kubernetes-validate ships them, those of the operator the
CustomResourceDefinitions in its Go module.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema  # type: ignore[import-untyped]  # no stubs
import platformdirs
import yaml
from referencing import Registry, Resource

VERSIONS: Final = ("1.31", "1.37")
"""The oldest that has all that the chart may use (`image` volumes are from 1.31), and the newest."""

_PACKAGE: Final = "kubernetes-validate==1.37.0"
_OPERATOR: Final = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
_METADATA: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_OPERATOR_GROUP: Final = "monitoring.coreos.com/v1"

Object = dict[str, Any]
Path_ = tuple[str | int, ...]


def refusals(document: Object, version: str) -> list[str]:
    """Return why the API of a version refuses an object; none where it takes it."""
    return [
        f"{'.'.join(map(str, error.absolute_path))}: {error.message}"
        for error in _validator(document["apiVersion"], document["kind"], version).iter_errors(document)
    ]


def mutations(document: Object) -> Iterator[tuple[str, Object]]:
    """Yield objects that the API has to refuse: each has one field that does not exist, or a list where a value belongs.

    Labels and the like have any names, so only their values are changed.
    """
    for path, value in _walk(document, ()):
        where = ".".join(map(str, path))
        if isinstance(value, dict) and not (path and path[-1] in _ANY_NAMES):
            changed = copy.deepcopy(document)
            _at(changed, path)["noSuchField"] = "x"
            yield f"{where}: an unknown field", changed
        elif not isinstance(value, dict | list) and path[0] not in {"apiVersion", "kind"}:
            changed = copy.deepcopy(document)
            _at(changed, path[:-1])[path[-1]] = ["x"]
            yield f"{where}: a list for {value!r}", changed


_ANY_NAMES: Final = frozenset(
    {"annotations", "labels", "limits", "matchLabels", "nodeSelector", "requests", "selector"}
)


def _walk(value: Any, path: Path_) -> Iterator[tuple[Path_, Any]]:
    yield path, value
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in children:
        yield from _walk(each, (*path, key))


def _at(document: Any, path: Path_) -> Any:
    for each in path:
        document = document[each]
    return document


@cache
def _validator(api_version: str, kind: str, version: str) -> Any:
    folder = _schemas() / f"v{version}.0-local-strict"
    definitions = json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))
    if api_version == _OPERATOR_GROUP:
        # A CustomResourceDefinition does not repeat the schema of what all objects have.
        schema = _closed(_operator_schemas()[kind])
        schema["properties"]["metadata"] = {"$ref": f"{definitions['$id']}#/$defs/{_METADATA}"}
    else:
        group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
        schema = json.loads((folder / f"{kind.lower()}-{group}.json").read_text(encoding="utf-8"))
    known: Registry[Any] = Registry().with_resource(definitions["$id"], Resource.from_contents(definitions))
    schema.setdefault("$id", definitions["$id"].replace("_definitions", kind))
    return jsonschema.Draft202012Validator(schema, registry=known)


@cache
def _schemas() -> Path:
    """Return the folder of the schemas, installed once to the user's cache."""
    target = platformdirs.user_cache_path("meshport") / _PACKAGE.replace("==", "-")
    found = target / "kubernetes_validate" / "kubernetes-json-schema"
    if not found.exists():
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), _PACKAGE]
        subprocess.run(install, check=True)
    return found


@cache
def operator_definitions() -> list[Object]:
    """Return the CustomResourceDefinitions of the two resources of Prometheus' operator."""
    done = subprocess.run(["go", "mod", "download", "-json", _OPERATOR], capture_output=True, check=True)
    folder = Path(json.loads(done.stdout)["Dir"]) / "example" / "prometheus-operator-crd"
    files = [folder / f"monitoring.coreos.com_{name}.yaml" for name in ("podmonitors", "prometheusrules")]
    return [yaml.safe_load(file.read_text(encoding="utf-8")) for file in files]


def _operator_schemas() -> dict[str, Object]:
    """Return the schemas of the operator's resources, by kind."""
    return {
        each["spec"]["names"]["kind"]: version["schema"]["openAPIV3Schema"]
        for each in operator_definitions()
        for version in each["spec"]["versions"]
        if version["name"] == "v1"
    }


def _closed(schema: Any) -> Any:
    """Return a schema that takes no unknown fields, as `kubectl apply` and Helm have it by `fieldValidation=Strict`."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _closed(each) for key, each in schema.items()}
    if made.get("x-kubernetes-int-or-string"):
        made.pop("type", None)
        made["type"] = ["integer", "string"]
    if isinstance(made.get("properties"), dict) and "additionalProperties" not in made:
        made["additionalProperties"] = False
    return made
