"""`meshport access request`, `grant`, `refuse`, `revoke` and `list`: asking for access, from the command line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from meshport.cli.output import FINDINGS, USAGE
from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.cli.running import Run
from tests.registry.schemas import plays, product, schema


@pytest.fixture
def registry_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry with a product, and another that declares to read it."""
    database = f"sqlite:///{tmp_path_factory.mktemp('registry') / 'registry.db'}"
    with running(Settings(database=database, port=0, bootstrap_servers="k:1")) as url:
        with Registry(url) as registry:
            registry.register(*plays())
            registry.register(product("mesh://billing/reports", "player/plays"), {"events@1": schema("user")})
        yield url


def test_access_is_asked_for_granted_and_revoked(cli: Run, registry_url: str) -> None:
    """Each step is one line for people and one object for programs; a day as the end is the whole day."""
    here = ("--registry", registry_url)
    purpose = ("--as", "billing/invoices", "--purpose", "invoices by plays")
    asked = cli("access", "request", "player/plays", *purpose, *here, "--json")
    assert asked.err == (
        "request 1: billing/invoices asks to read mesh://player/plays/events; team-player decides about it\n"
    )
    assert (asked.lines[0]["id"], asked.lines[0]["state"]) == (1, "requested")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()
    granted = cli("access", "grant", "1", "--until", str(tomorrow), "--reason", "for the quarter", *here, "--json")
    end = f"{tomorrow + timedelta(days=1)} 00:00 UTC"
    assert granted.err == (
        f"granted: billing/invoices may read mesh://player/plays/events until {end}\n"
        "no Kafka was named: `meshport access enforce` carries it out there\n"
    )
    listed = cli("access", "list", "player/plays", *here)
    header, first, second = (re.split(r" {2,}|\t", line.strip()) for line in listed.out.splitlines())
    assert header[:4] == ["number", "reader", "reads", "state"]
    assert first[:4] == ["1", "billing/invoices", "player/plays/events", "granted"]
    assert first[5:] == [end, "anonymous", "invoices by plays; for the quarter"]
    assert second == [
        "-",
        "billing/reports",
        "player/plays",
        "by policy",
        "-",
        "-",
        "meshport/readers.cedar#readers-by-classification",
        "an input port",
    ]
    revoked = cli("access", "revoke", "1", "--reason", "enough", *here)
    assert revoked.err.startswith("revoked: billing/invoices may no longer read mesh://player/plays/events\n")
    assert (
        cli("access", "list", "--as", "billing/invoices", *here).err == "no reader has access, and no request is open\n"
    )
    (everything,) = cli("access", "list", "--as", "billing/invoices", "--all", *here, "--json").lines
    assert (everything["state"], everything["reason"], everything["revoked_by"]) == ("revoked", "enough", "anonymous")


def test_a_request_is_refused_with_a_reason(cli: Run, registry_url: str) -> None:
    """A refusal without a reason is none."""
    here = ("--registry", registry_url)
    cli("access", "request", "player/plays", "--as", "ann@example.org", "--purpose", "a report", *here)
    assert cli("access", "refuse", "1", *here).code == USAGE
    assert cli("access", "refuse", "1", "--reason", " ", *here).code == USAGE
    refused = cli("access", "refuse", "1", "--reason", "names are in it", *here)
    assert refused.err == "refused: ann@example.org may not read mesh://player/plays/events\n"
    assert cli("access", "grant", "1", "--until", "2100-01-01", *here).code == FINDINGS


@pytest.mark.parametrize("until", ["soon", "2026-13-01", "2020-01-01"])
def test_an_end_is_a_day_or_an_instant_to_come(cli: Run, registry_url: str, until: str) -> None:
    """What is neither, or is past, is refused, and nothing is granted."""
    here = ("--registry", registry_url)
    cli("access", "request", "player/plays", "--as", "ann@example.org", "--purpose", "a report", *here)
    assert cli("access", "grant", "1", "--until", until, *here).code != 0
    (asked,) = cli("access", "list", "--as", "ann@example.org", *here, "--json").lines
    assert asked["state"] == "requested"


def test_enforcement_without_grants_does_nothing(cli: Run, registry_url: str) -> None:
    """A mesh without grants needs no Kafka for it."""
    ended = cli("access", "enforce", "--once", "--registry", registry_url, "--kafka", "127.0.0.1:9")
    assert (ended.code, ended.out, ended.err) == (0, "", "grants are carried out\n")
