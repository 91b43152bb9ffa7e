"""Hundreds of secrets through every command that fails: none is in an output, a log or a list of processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from meshport.cli import VERBS, load_verb
from meshport.cli.output import FINDINGS, NO_ANSWER, USAGE
from meshport_registry import Settings, running
from tests.cli.canaries import Canaries, command_lines
from tests.cli.canary_commands import LAST_DAY, NOWHERE, ORDERS, Looked, properties
from tests.cli.canary_commands import canaries as canaries  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.cli.canary_commands import looked as looked  # noqa: PLC0414 - as above
from tests.cli.canary_commands import shop as shop  # noqa: PLC0414 - as above
from tests.cli.running import process
from tests.postgres_session import postgres as postgres  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.registry.door import made_key
from tests.waiting import PATIENCE_S

# Commands that ask nobody.
HERE: Final = {
    "new",
    "check",
    "json-schema",
    "dashboards",
    "import",
    "gate rules",
    "gate explain",
    "policy explain",
    "logout",
    "catalog",  # asks whether the registry answers; the browser logs in by itself
    "mcp",
}
ALL: Final = {
    "init": ["made"],
    "new": ["shop/others", "--owner", "shop"],
    "check": [],
    "apply": [],
    "up": [],
    "demo": ["--for", "1s"],
    "recount": [],
    "run": [ORDERS],
    "publish": [ORDERS, "--from", "orders.jsonl"],
    "tail": [ORDERS, "--from-beginning", "--until-end"],
    "query": [ORDERS],
    "replay now": [ORDERS],
    "replay start": [ORDERS, "--purpose", "to look at it"],
    "archive run": [ORDERS, "--once"],
    "archive verify": [ORDERS],
    "archive restore": [ORDERS, "--to", "again"],
    "replay list": [],
    "replay show": ["0" * 32],
    "replay pause": ["0" * 32],
    "replay resume": ["0" * 32],
    "replay approve": ["0" * 32],
    "replay cancel": ["0" * 32, "--reason", "it has ended"],
    "quarantine": [ORDERS],
    "lag": [ORDERS],
    "observe": ["--once"],
    "rebuild": [ORDERS],
    "generations": [ORDERS],
    "redrive": [ORDERS, "--group", "billing"],
    "outbox create": [],
    "relay": [],
    "relay status": [],
    "resolve": [ORDERS],
    "search": [],
    "catalog": ["--no-browser"],
    "readers": [ORDERS],
    "json-schema": [],
    "lineage": [ORDERS],
    "schema": [ORDERS],
    "mcp": [],
    "generate": [ORDERS, "--language", "python", "--output", "clients"],
    "gate check": ["--history"],
    "gate rules": [],
    "gate explain": ["TYPE_MISMATCH"],
    "gate waive": [ORDERS, "--rule", "TYPE_MISMATCH", "--until", LAST_DAY, "--reason", "it is a test"],
    "gate waivers": [],
    "gate revoke": ["1"],
    "policy test": [],
    "policy explain": ["ann@example.org", "read", "--on", ORDERS],
    "glossary": [],
    "counts report": [ORDERS, "5", "--from", "2001-02-03", "--to", "2001-02-04"],
    "counts list": [ORDERS],
    "problems open": [ORDERS, "--title", "it is late"],
    "problems list": [],
    "problems answer": ["1", "--text", "we are on it"],
    "problems close": ["1", "--reason", "it is mended"],
    "problems withdraw": ["1", "--reason", "it is our own"],
    "access request": [ORDERS, "--purpose", "to look at it", "--as", "bea@example.org"],
    "access list": [],
    "access grant": ["1", "--until", LAST_DAY],
    "access enforce": ["--once"],
    "access drift": [],
    "access revoke": ["1", "--reason", "it has ended"],
    "access refuse": ["1", "--reason", "it has ended"],
    "adopt": ["shop.orders.events.v1", "--as", "shop/adopted", "--from-registry", "PEER"],
    "registry backup": ["copy.gz", "--database", "sqlite:///none.db"],
    "registry restore": ["none.gz", "--database", "sqlite:///restored.db"],
    "registry relay": ["--database", "sqlite:///registry.db"],
    "registry export": ["copy", "--from", "PEER"],
    "registry import": ["--from", "PEER"],
    "registry key create": ["billing/invoices"],
    "registry key rotate": ["no-such-key"],
    "registry key revoke": ["no-such-key"],
    "registry key list": [],
    "dashboards": [],
    "import": ["contract.odcs.yaml"],
    "export": ["--format", "asyncapi"],
    "doctor": [],
    "audit": ["--verify"],
    "deprecate": [ORDERS, "--on", LAST_DAY],
    "retire": [ORDERS, "--yes"],
    "drop": [ORDERS, "--yes"],
    "login": ["--token-file", "-"],
    "logout": [],
    "registry serve": ["--port", "0"],
}


def commands() -> set[str]:
    """The names of all commands."""

    def below(name: str, command: Any) -> Iterator[str]:
        members = getattr(command, "commands", {})
        if not members or command.invoke_without_command:
            yield name
        for each, member in members.items():
            yield from below(f"{name} {each}", member)

    return {name for verb in VERBS for name in below(verb, load_verb(verb))}


def test_every_command_is_here() -> None:
    """A command that the tests of this file do not run is no command."""
    assert set(ALL) == commands()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands wait for a Kafka that does not answer no longer than a second."""
    monkeypatch.setattr("meshport.kafka.topic_offsets.METADATA_S", 1.0)
    monkeypatch.setattr("meshport.kafka.admin.ANSWER_S", 1.0)
    monkeypatch.setattr("meshport.local.cluster.ANSWER_SECONDS", 1.0)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("how", ["nothing answers", "logins are refused", "words are wrong"])
def test_a_command_that_fails_shows_no_secret(
    looked: Looked, canaries: Canaries, shop: Path, tmp_path: Path, how: str
) -> None:
    """Each command gets secrets of its own: for the registry, another one, Kafka and the database; all at once."""
    database = tmp_path / "registry.db"
    made_key(f"sqlite:///{database}", "ann@example.org")
    with command_lines(canaries) as seen, running(Settings(database=f"sqlite:///{database}", port=0)) as url:
        where = f"http://{NOWHERE}" if how == "nothing answers" else url
        for name, arguments in ALL.items():
            secret = canaries.new
            (tmp_path / "netrc").write_text(f"machine 127.0.0.1 login ci password {secret()}\n")
            (tmp_path / "password").write_text(secret())
            wrong = {"sasl.pasword": secret()} if how == "words are wrong" else {}
            (tmp_path / "client.properties").write_text(properties(canaries, **wrong))
            (shop / "meshport.toml").write_text(
                f'[clusters.main]\nbootstrap.servers = "{NOWHERE}"\nsecurity.protocol = "SASL_SSL"\n'
                'sasl.mechanism = "PLAIN"\nsasl.username = "u"\nsasl.password = "${env:CANARY}"\n'
            )
            given = {
                "MESHPORT_REGISTRY": where.replace("://", f"://ann:{secret()}@") if secret()[-1] in "13579" else where,
                "MESHPORT_REGISTRY_TOKEN": f"mpk_abc_{secret()}",
                "MESHPORT_REGISTRY_HEADER": f"X-Gateway{' ' if how == 'words are wrong' else ''}: {secret()}",
                "MESHPORT_KAFKA_CONFIG": str(tmp_path / "client.properties"),
                "MESHPORT_KAFKA_SASL_OAUTHBEARER_ASSERTION_PRIVATE_KEY_PASSPHRASE": secret(),
                "CANARY": secret(),
                "MESHPORT_REGISTRY_DATABASE": secret()
                if how == "words are wrong"
                else f"postgresql://u:{secret()}@{NOWHERE}/mesh",
                "MESHPORT_OUTBOX_DATABASE": f"postgresql://u:{secret()}@{NOWHERE}/shop",
                "stdin": f"mpk_abc_{secret()}\n".encode(),
            }
            given |= (
                {"MESHPORT_PEER_NETRC": str(tmp_path / "netrc")}
                if how == "nothing answers"
                else {"MESHPORT_PEER_AUTH": f"ci:{secret()}"}
                if how == "logins are refused"
                else {"MESHPORT_PEER_TOKEN": secret(), "MESHPORT_PEER_AUTH": secret()}
            )
            code = looked.run(name, *(where if each == "PEER" else each for each in arguments), **given)
            assert code in {FINDINGS, USAGE, NO_ANSWER} or name in HERE, name
    looked.end()
    assert len(canaries.made) > 200
    assert not seen
    assert not canaries.files_with(
        tmp_path, besides=tuple(tmp_path / each for each in ("netrc", "password", "client.properties"))
    )


def test_what_leaks_is_found(canaries: Canaries, tmp_path: Path) -> None:
    """The looks of this file find a secret on a command line, in a file and in a text: their silence means something."""
    secret = canaries.new()
    (tmp_path / "file").write_bytes(b"\0" + secret.encode())
    with (
        command_lines(canaries) as seen,
        process("registry", "key", "list", "--database", f"sqlite:///{secret}/none", cwd=tmp_path) as shown,
    ):
        shown.communicate(timeout=PATIENCE_S)
    assert [*seen.values()] == [{secret}]
    assert canaries.files_with(tmp_path) == {tmp_path / "file": {secret}}
    canaries.add("made-elsewhere")
    assert canaries.found_in("of made-elsewhere") == {"made-elsewhere"}
