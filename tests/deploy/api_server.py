"""Kubernetes' own API server, on an etcd of its own: what it takes of the chart, and what it warns of.

Both are built by Go from their modules (`kubernetes/`), which takes some minutes of CPU time the first time, and then start in
seconds. No node runs: an object is stored, with its defaults, and no pod is made of it.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx2
import platformdirs
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from meshport.local.guardian import guard
from tests.deploy.kubernetes_api import operator_definitions
from tests.deploy.ports import free_port
from tests.waiting import wait_for

NAMESPACE: Final = "mesh"
VERSION: Final = "v1.37.2"

_SOURCES: Final = Path(__file__).parent / "kubernetes"
_TOKEN: Final = "of-the-tests"
_PLURAL: Final = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}

Object = dict[str, Any]


class ApiServer:
    """A client of an API server.

    Args:
        http: of the server.

    Attributes:
        warnings: what the server has warned of, such as a pod that is not restricted.
    """

    def __init__(self, http: httpx2.Client) -> None:
        self._http = http
        self.warnings: list[str] = []

    def apply(self, document: Object, *, dry_run: bool = False) -> str | None:
        """Apply an object as `kubectl apply --server-side` does, unknown fields refused; return why it is refused, or None.

        A hook of Helm's is deleted before, as its policy `before-hook-creation` has it.
        """
        path, options = _path(document), {"fieldManager": "tests", "fieldValidation": "Strict"}
        if "helm.sh/hook" in document["metadata"].get("annotations", {}):
            self._http.delete(path, params={"propagationPolicy": "Background"})
        answer = self._http.patch(
            path,
            params=options | ({"dryRun": "All"} if dry_run else {}),
            headers={"content-type": "application/apply-patch+yaml"},
            content=yaml.safe_dump(document),
        )
        self.warnings += [f"{path}: {each}" for each in answer.headers.get_list("warning")]
        return None if answer.is_success else str(answer.json().get("message", answer.text))

    def create_pod(self, name: str, template: Object) -> str | None:
        """Try to create a pod of a template, without keeping it; return why it is refused, or None.

        The namespace admits pods of the restricted standard alone.
        """
        pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {**template["metadata"], "name": name}}
        pod["spec"] = {key: value for key, value in pod["spec"].items() if key != "priorityClassName"}
        answer = self._http.post(
            f"/api/v1/namespaces/{NAMESPACE}/pods", params={"dryRun": "All", "fieldValidation": "Strict"}, json=pod
        )
        return None if answer.is_success else str(answer.json().get("message", answer.text))


def _path(document: Object) -> str:
    version, kind = document["apiVersion"], document["kind"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    space = f"/namespaces/{NAMESPACE}" if kind not in {"Namespace", "CustomResourceDefinition"} else ""
    return f"{root}{space}/{_PLURAL.get(kind, f'{kind.lower()}s')}/{document['metadata']['name']}"


@contextmanager
def api_server() -> Iterator[ApiServer]:
    """Run etcd and the API server while the context is open: with a namespace, and the resources of Prometheus' operator."""
    with tempfile.TemporaryDirectory(prefix="meshport-kubernetes-") as name:
        folder = Path(name)
        store, peers, port = (free_port() for _ in range(3))
        _write_key(folder / "accounts.key")
        (folder / "tokens.csv").write_text(f'{_TOKEN},tests,1,"system:masters"\n')
        etcd = [
            "--unsafe-no-fsync",
            "--log-level=error",
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls=http://127.0.0.1:{store}",
            f"--advertise-client-urls=http://127.0.0.1:{store}",
            f"--listen-peer-urls=http://127.0.0.1:{peers}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peers}",
            f"--initial-cluster=default=http://127.0.0.1:{peers}",
        ]
        server = [
            f"--etcd-servers=http://127.0.0.1:{store}",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={folder / 'certificates'}",
            f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=AlwaysAllow",
            "--disable-admission-plugins=ServiceAccount",  # no controller makes a namespace's account
            "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={folder / 'accounts.key'}",
            f"--service-account-signing-key-file={folder / 'accounts.key'}",
        ]
        with _running("etcd", etcd, folder), _running("apiserver", server, folder), _client(folder, port) as http:
            made = ApiServer(http)
            for each in (_namespace(), *operator_definitions()):
                assert made.apply(each) is None
            for kind in ("podmonitors", "prometheusrules"):
                wait_for(partial(_serves, http, f"/apis/monitoring.coreos.com/v1/{kind}"), f"{kind} to be served")
            yield made


@contextmanager
def _running(program: str, arguments: list[str], folder: Path) -> Iterator[None]:
    process = guard([_built(program), *arguments], output=folder / f"{program}.log", cwd=folder)
    try:
        yield
    finally:
        process.stop()


@contextmanager
def _client(folder: Path, port: int) -> Iterator[httpx2.Client]:
    certificate = folder / "certificates" / "apiserver.crt"
    wait_for(certificate.exists, "the certificate of the API server")
    trusted = ssl.create_default_context(cafile=certificate)
    headers = {"authorization": f"Bearer {_TOKEN}"}
    with httpx2.Client(base_url=f"https://127.0.0.1:{port}", verify=trusted, headers=headers, trust_env=False) as http:
        wait_for(partial(_serves, http, "/readyz"), "the API server to be ready")
        yield http


def _serves(http: httpx2.Client, path: str) -> bool:
    with suppress(httpx2.TransportError):
        return http.get(path).is_success
    return False


def _built(program: str) -> Path:
    target = platformdirs.user_cache_path("meshport") / f"kubernetes-{VERSION}" / program
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        command = ["go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", str(target), "."]
        subprocess.run(command, cwd=_SOURCES / program, env={**os.environ, "GOFLAGS": "-mod=mod"}, check=True)
    return target


def _write_key(file: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def _namespace() -> Object:
    levels = {f"pod-security.kubernetes.io/{each}": "restricted" for each in ("enforce", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": levels}}
