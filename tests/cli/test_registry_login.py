"""The login of commands at a registry that asks for one, from the environment."""

from __future__ import annotations

from pathlib import Path

from meshport.cli.output import FINDINGS, NO_ANSWER, USAGE
from meshport_registry import Settings, TlsSettings, running
from tests.cli.running import Run
from tests.registry.certificates import Authority
from tests.registry.door import made_key


def test_commands_show_the_key_of_the_environment(cli: Run, tmp_path: Path) -> None:
    """MESHPORT_REGISTRY_TOKEN, _CA, _CERTIFICATE and _KEY are used by commands, and no message has the key."""
    authority, database = Authority(tmp_path), f"sqlite:///{tmp_path / 'registry.db'}"
    server, ann = authority.server(), authority.sign("ann", common=("ann",))
    key = made_key(database, "ann@example.org", "mesh-admins")
    tls = TlsSettings(certificate=server.certificate, key=server.key, client_ca=authority.file)
    with running(Settings(database=database, port=0, tls=tls)) as url:
        ca = {"MESHPORT_REGISTRY": url, "MESHPORT_REGISTRY_CA": str(authority.file)}
        ended = cli("search", **ca, MESHPORT_REGISTRY_TOKEN=key.text)
        assert (ended.code, ended.err) == (0, "no product is registered\n")
        files = {"MESHPORT_REGISTRY_CERTIFICATE": str(ann.certificate), "MESHPORT_REGISTRY_KEY": str(ann.key)}
        assert cli("search", **ca, **files).code == 0
        assert cli("audit", **ca, **files).code == FINDINGS
        assert "no API key, token or client certificate" in cli("search", **ca).err
        wrong = cli("search", **ca, MESHPORT_REGISTRY_TOKEN=key.text[:-1])
        assert (wrong.code, key.secret[:-1] in wrong.err) == (FINDINGS, False)
        assert "the API key is not known" in wrong.err
        assert cli("search", **ca | {"MESHPORT_REGISTRY_CA": ""}, MESHPORT_REGISTRY_TOKEN=key.text).code == NO_ANSWER
        missing = cli("search", **ca | {"MESHPORT_REGISTRY_CA": "nothing.pem"})
        assert (missing.code, "nothing.pem" in missing.err) == (USAGE, True)
