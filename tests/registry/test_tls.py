"""The registry's own TLS: a certificate that is replaced, and clients that do not complete what they began."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from pathlib import Path

import httpx2
import pytest

from meshport_registry import Settings, TlsSettings, running
from meshport_registry.connections import ConnectionLimits
from meshport_registry.identity.tls import renew_certificate, server_context
from tests.registry.certificates import Authority, Files
from tests.waiting import PATIENCE_S


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return an authority."""
    return Authority(tmp_path)


def settings_of(files: Files, folder: Path, **limits: float) -> Settings:
    """Return the settings of a registry over HTTPS with bounds of its connections."""
    bounds = ConnectionLimits.model_validate(limits)
    tls = TlsSettings(certificate=files.certificate, key=files.key)
    return Settings(database=f"sqlite:///{folder / 'r.db'}", port=0, tls=tls, connections=bounds)


def address(url: str) -> tuple[str, int]:
    """Return host and port of a URL."""
    parts = httpx2.URL(url)
    return parts.host, parts.port or 443


def test_a_replaced_certificate_is_used_for_new_connections(
    authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Files that do not belong together leave the old certificate in use; the next pair that does is loaded."""
    first = authority.server()
    tls = TlsSettings(certificate=first.certificate, key=first.key)
    old = ssl.PEM_cert_to_DER_cert(first.certificate.read_text())
    other = tmp_path / "other"
    other.mkdir()
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE

    async def shown(port: int) -> bytes:
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
        found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return found

    async def run() -> None:
        context = server_context(tls)
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        renewal = asyncio.create_task(renew_certificate(context, tls, every_s=0.005))
        assert await shown(port) == old
        second = Authority(other).server()
        first.certificate.write_bytes(second.certificate.read_bytes())  # beside the old key
        async with asyncio.timeout(PATIENCE_S):
            while "the old certificate stays in use" not in caplog.text:
                await asyncio.sleep(0.01)
        assert await shown(port) == old
        first.key.write_bytes(second.key.read_bytes())
        async with asyncio.timeout(PATIENCE_S):
            while await shown(port) == old:
                await asyncio.sleep(0.01)
        assert await shown(port) == ssl.PEM_cert_to_DER_cert(second.certificate.read_text())
        renewal.cancel()
        server.close()

    asyncio.run(run())


def test_a_handshake_that_is_not_completed_is_cut(authority: Authority, tmp_path: Path) -> None:
    """A client that sends nothing, or nothing of TLS, is disconnected; others are answered meanwhile."""
    context = ssl.create_default_context(cafile=str(authority.file))
    with running(settings_of(authority.server(), tmp_path, head_s=0.3)) as url:
        with socket.create_connection(address(url), timeout=PATIENCE_S) as silent:
            with httpx2.Client(base_url=url, verify=context, trust_env=False) as client:
                assert client.get("/health").status_code == 200
            assert silent.recv(1) == b""
        with socket.create_connection(address(url), timeout=PATIENCE_S) as plain:
            plain.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            received = b""
            while piece := plain.recv(1024):
                received += piece
            assert b"HTTP" not in received


def test_an_incomplete_request_over_tls_is_answered_and_cut(authority: Authority, tmp_path: Path) -> None:
    """The bounds of a request hold over TLS: its time, and the size of a body that is refused while it is sent."""
    context = ssl.create_default_context(cafile=str(authority.file))
    with running(settings_of(authority.server(), tmp_path, head_s=0.3)) as url:
        host, port = address(url)
        with (
            socket.create_connection((host, port), timeout=PATIENCE_S) as raw,
            context.wrap_socket(raw, server_hostname=host) as slow,
        ):
            slow.sendall(b"GET /health HTTP/1.1\r\n")
            answer = b""
            while piece := slow.recv(1024):
                answer += piece
                if b"}" in answer:
                    break
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"connection: close" in answer
        with httpx2.Client(base_url=url, verify=context, trust_env=False, timeout=PATIENCE_S) as client:
            for _ in range(2):
                answer_to_large = client.post("/subjects/x/versions", content=os.urandom(6_000_000))
                assert answer_to_large.status_code == 413
            assert client.get("/health").status_code == 200


def test_tls_is_1_2_or_later(authority: Authority) -> None:
    """The context offers neither TLS 1.1 nor another protocol than HTTP/1.1, and trusts no authority that is not named."""
    files = authority.server()
    context = server_context(TlsSettings(certificate=files.certificate, key=files.key))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_NONE
    named = server_context(TlsSettings(certificate=files.certificate, key=files.key, client_ca=authority.file))
    assert named.verify_mode is ssl.CERT_OPTIONAL
    assert named.get_ca_certs(binary_form=True) == [ssl.PEM_cert_to_DER_cert(authority.file.read_text())]
