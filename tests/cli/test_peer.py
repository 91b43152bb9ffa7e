"""`gate check --against URL`, `registry import` and `registry export`: commands that read another registry, with its login."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from meshport_registry import Settings, running
from tests.cli.running import Run
from tests.cli.shop import order, write_shop
from tests.plain_http import plain_http

SUBJECT = "shop.orders.events.v1-value"
V1 = order({"name": "customer", "type": "string"}, {"name": "cents", "type": "int"})
WITH_NOTE = order(
    {"name": "customer", "type": "string"},
    {"name": "cents", "type": "int"},
    {"name": "note", "type": "string", "default": ""},
)
WITHOUT_CENTS = order({"name": "customer", "type": "string"})


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[httpx2.Client]:
    """Yield a plain HTTP client of another registry, which has one subject with the first contract."""
    with running(Settings(database=f"sqlite:///{tmp_path / 'peer.db'}", port=0)) as url, plain_http(url) as client:
        assert client.post(f"/subjects/{SUBJECT}/versions", json={"schema": json.dumps(V1)}).is_success
        yield client


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with one product, which commands stand in."""
    root = tmp_path / "shop"
    root.mkdir()
    write_shop(root, WITH_NOTE)
    monkeypatch.chdir(root)
    return root


def contract(root: Path, form: object) -> None:
    """Write the contract."""
    (root / "schemas/shop/orders.events.avsc").write_text(json.dumps(form))


def test_the_gate_judges_by_another_registry(cli: Run, shop: Path, peer: httpx2.Client) -> None:
    """A team that has moved nothing checks its contract against the versions that its own registry has."""
    done = cli("gate", "check", "--against", str(peer.base_url))
    assert done.code == 0, done.err
    assert f"shop/orders/events@1 is the subject {SUBJECT} there" in done.out
    contract(shop, WITHOUT_CENTS)
    done = cli("gate", "check", "--against", str(peer.base_url), "--json")
    assert done.code == 1
    verdict = json.loads(done.out)["verdicts"][0]
    assert [each["path"] for each in verdict["findings"]] == ["cents"]


def test_the_level_of_the_other_registry_holds_too(cli: Run, shop: Path, peer: httpx2.Client) -> None:
    """A contract whose own level lets a change pass is still held to the level at which it is registered there."""
    file = shop / "producers/shop/orders/product.yaml"
    file.write_text(file.read_text() + "    compatibility: NONE\n")
    contract(shop, WITHOUT_CENTS)
    assert peer.put(f"/config/{SUBJECT}", json={"compatibility": "BACKWARD"}).is_success
    assert cli("gate", "check", "--against", str(peer.base_url)).code == 0
    assert peer.put(f"/config/{SUBJECT}", json={"compatibility": "FORWARD"}).is_success
    done = cli("gate", "check", "--against", str(peer.base_url))
    assert done.code == 1
    assert "at the level FORWARD, which holds beside NONE" in " ".join(done.out.split())


def test_a_subject_by_the_records_name_is_found(cli: Run, shop: Path, peer: httpx2.Client) -> None:
    """Confluent's other strategies name a subject after the record."""
    for query in ("", "?permanent=true"):
        assert peer.delete(f"/subjects/{SUBJECT}{query}").is_success
    done = cli("gate", "check", "--against", str(peer.base_url))
    assert (done.code, "is new there: no subject" in done.out) == (0, True)
    assert peer.post("/subjects/shop.Order/versions", json={"schema": json.dumps(V1)}).is_success
    contract(shop, WITHOUT_CENTS)
    done = cli("gate", "check", "--against", str(peer.base_url))
    assert (done.code, "is the subject shop.Order there" in done.out) == (1, True)


@pytest.mark.parametrize("path", ["/api/v1", "/nowhere"])
def test_a_url_that_is_no_registry_is_never_a_pass(cli: Run, shop: Path, peer: httpx2.Client, path: str) -> None:
    """An address that answers 404 to everything would make every contract a new one."""
    for command in (["gate", "check", "--against"], ["registry", "import", "--registry", str(peer.base_url), "--from"]):
        done = cli(*command, f"{peer.base_url}{path}")
        assert (done.code, "/subjects answered 404" in done.err) == (3, True), done.err
    assert shop.is_dir()


def test_a_registry_moves_by_folder_or_by_url(cli: Run, peer: httpx2.Client, tmp_path: Path) -> None:
    """`export` writes a folder, `import` takes it; the same by URL changes nothing more, and a clash is exit code 1."""
    folder = str(tmp_path / "export")
    assert cli("registry", "export", folder, "--from", str(peer.base_url)).code == 0
    with running(Settings(database=f"sqlite:///{tmp_path / 'own.db'}", port=0)) as url, plain_http(url) as own:
        done = cli("registry", "import", "--from", folder, "--registry", url, "--json")
        assert json.loads(done.out) | {"source": ""} == {
            "source": "",
            "subjects": 1,
            "dryRun": False,
            "versions": 1,
            "furtherIds": 0,
            "deletions": 0,
            "settings": 0,
            "unchanged": 0,
            "notes": [],
        }
        again = cli("registry", "import", "--from", str(peer.base_url), "--registry", url)
        assert (again.code, "nothing new; 1 versions unchanged" in again.err) == (0, True)
        assert own.post("/subjects/other/versions", json={"schema": '"string"'}).json() == {"id": 2, "version": 1} | {
            key: value
            for key, value in own.get("/subjects/other/versions/1").json().items()
            if key in {"guid", "schema"}
        }
        assert peer.post("/subjects/mine/versions", json={"schema": '"int"'}).json()["id"] == 2
        clash = cli("registry", "import", "--from", str(peer.base_url), "--registry", url)
        assert clash.code == 1
        assert "version 1 of subject 'mine': the id 2 has another schema here, version 1 of 'other'" in clash.err
        assert (
            cli("registry", "import", "--from", str(peer.base_url), "--registry", url, "--leave-out", "mi*").code == 0
        )


SECRET = "canary-7f3a"
USERS = {
    f"Basic {base64.b64encode(f'ci:{SECRET}'.encode()).decode()}",
    f"Bearer {SECRET}",
}


@pytest.fixture
def guarded() -> Iterator[str]:
    """Yield the URL of a registry that answers an empty list to who logs in."""

    class Guarded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the name of http.server
            known = self.headers.get("authorization") in USERS
            path = self.path.partition("?")[0]
            body = b"[]" if path in {"/subjects", "/contexts"} else b'{"compatibilityLevel":"FULL","mode":"READWRITE"}'
            self.send_response(200 if known else 401)
            self.end_headers()
            self.wfile.write(body if known else b'{"error_code":401,"message":"Unauthorized"}')

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Guarded)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("way", ["auth", "token", "netrc", "url"])
def test_each_login_of_another_registry(cli: Run, shop: Path, guarded: str, way: str, tmp_path: Path) -> None:
    """A login comes from the environment, a netrc file or the URL, and is shown nowhere."""
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login ci password {SECRET}\n")
    url = guarded.replace("://", f"://ci:{SECRET}@") if way == "url" else guarded
    options = ["--peer-netrc", str(netrc)] if way == "netrc" else []
    environment = {"auth": {"MESHPORT_PEER_AUTH": f"ci:{SECRET}"}, "token": {"MESHPORT_PEER_TOKEN": SECRET}}.get(
        way, {}
    )
    for command in (["gate", "check", "--against", url], ["registry", "export", str(tmp_path / "e"), "--from", url]):
        done = cli(*command, *options, **environment)
        assert done.code == 0, done.err
        assert SECRET not in done.out + done.err
    assert not any(SECRET in file.read_text() for file in (tmp_path / "e").rglob("*.json"))
    assert shop.is_dir()


def test_a_login_that_fails_is_no_pass_and_shows_nothing(cli: Run, shop: Path, guarded: str, tmp_path: Path) -> None:
    """A login that the registry refuses is no answer of it; two logins, or a netrc file without the host, are bad usage."""
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine elsewhere login ci password {SECRET}\n")
    check = ["gate", "check", "--against", guarded]
    for code, options, environment in (
        (3, [], {}),
        (3, [], {"MESHPORT_PEER_AUTH": f"ann:{SECRET}"}),
        (2, [], {"MESHPORT_PEER_AUTH": SECRET}),
        (2, [], {"MESHPORT_PEER_AUTH": f"ci:{SECRET}", "MESHPORT_PEER_TOKEN": SECRET}),
        (2, ["--peer-netrc", str(netrc)], {}),
        (2, ["--peer-netrc", str(tmp_path / "none")], {}),
    ):
        done = cli(*check, *options, **environment)
        assert done.code == code, done.err
        assert SECRET not in done.out + done.err
    assert shop.is_dir()
