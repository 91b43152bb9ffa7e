"""`meshport audit`: entries for people and programs, and a chain that is checked here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from meshport.cli.output import FINDINGS, NO_ANSWER, USAGE
from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.cli.running import Run
from tests.registry.schemas import plays, waiver_of_track


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URL of a database."""
    return f"sqlite:///{tmp_path_factory.mktemp('registry') / 'registry.db'}"


@pytest.fixture
def registry_url(database: str) -> Iterator[str]:
    """A registry with three entries in its audit, the last of a change that failed."""
    with running(Settings(database=database, port=0, bootstrap_servers="k:1")) as url:
        with Registry(url) as registry:
            registry.register(*plays())
            registry.waivers.record(waiver_of_track())
            with pytest.raises(Exception, match="no rule"):
                registry.waivers.record(waiver_of_track(rule="NONE"))
        yield url


def test_the_audit_is_shown(cli: Run, registry_url: str) -> None:
    """A table for people, whole entries as JSON for programs, both narrowed by time, caller and what was done."""
    ended = cli("audit", "--registry", registry_url)
    assert ended.code == 0
    header, *rows = (line.split() for line in ended.out.splitlines())
    assert header == ["number", "at", "caller", "action", "resource", "outcome", "policies"]
    assert [(row[0], row[2], row[-2]) for row in rows] == [
        ("1", "anonymous", "allowed"),
        ("2", "anonymous", "allowed"),
        ("3", "anonymous", "failed"),
    ]
    entries = cli("audit", "--registry", registry_url, "--json").lines
    assert [each["detail"] for each in entries] == [
        "POST /api/v1/dataproducts",
        "POST /api/v1/waivers",
        "POST /api/v1/waivers: 422",
    ]
    for narrowed in (["--what", "waivers"], ["--since", entries[1]["at"], "--who", "anonymous"]):
        assert cli("audit", "--registry", registry_url, "--json", *narrowed).lines == entries[1:]
    none = cli("audit", "--registry", registry_url, "--who", "ann@example.org")
    assert (none.code, none.out, none.err) == (0, "", "the audit has no such entry\n")


def test_the_chain_is_verified(cli: Run, registry_url: str, database: str, tmp_path: Path) -> None:
    """A whole chain prints its newest hash; a broken one, or one without a noted hash, exits 1 and names the entry."""
    ended = cli("audit", "--verify", "--registry", registry_url)
    assert (ended.code, ended.err) == (0, "the audit is whole: 3 entries\n")
    noted = ended.out.strip()
    exported = cli("audit", "--json", "--registry", registry_url).out
    assert json.loads(exported.splitlines()[-1])["hash"] == noted
    whole = cli("audit", "--verify", "--head", noted, "--json", "--registry", registry_url)
    assert whole.lines == [{"entries": 3, "head": noted}]
    file = tmp_path / "audit.jsonl"
    file.write_text(exported)
    assert cli("audit", "--verify", "--file", "audit.jsonl", "--head", noted).code == 0
    file.write_text(exported.replace("/waivers", "/waiver"))
    ended = cli("audit", "--verify", "--file", "audit.jsonl", "--json")
    assert (ended.code, json.loads(ended.err)["facts"]["number"]) == (FINDINGS, 2)
    file.write_text("".join(exported.splitlines(keepends=True)[:2]))
    assert cli("audit", "--verify", "--file", "audit.jsonl").code == 0
    ended = cli("audit", "--verify", "--file", "audit.jsonl", "--head", noted)
    assert (ended.code, "none of its 2 entries has the hash" in ended.err) == (FINDINGS, True)
    engine = create_engine(database)
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER audit_unchanged"))
        connection.execute(text("UPDATE audit SET caller = 'eve' WHERE number = 2"))
    engine.dispose()
    ended = cli("audit", "--verify", "--registry", registry_url)
    assert (ended.code, ended.out) == (FINDINGS, "")
    assert "the audit is broken at entry 2: its hash is not that of its values" in ended.err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--head", "abc"], USAGE, "it needs --verify"),
        (["--file", "audit.jsonl"], USAGE, "it needs --verify"),
        (["--verify", "--who", "ann"], USAGE, "it checks every entry"),
        (["--since", "yesterday"], USAGE, "--since"),
        (["--verify", "--file", "nothing.jsonl"], USAGE, "nothing.jsonl cannot be read"),
        (["--verify"], NO_ANSWER, "did not answer"),
        ([], NO_ANSWER, "did not answer"),
    ],
)
def test_an_audit_that_cannot_be_read_is_no_whole_one(cli: Run, arguments: list[str], code: int, told: str) -> None:
    """Wrong options and a registry that does not answer have exit codes of their own."""
    ended = cli("audit", *arguments, "--registry", "127.0.0.1:1", COLUMNS="200", TERMINAL_WIDTH="200")
    assert (ended.code, told in ended.err) == (code, True), ended.err
