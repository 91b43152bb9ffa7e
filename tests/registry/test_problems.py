"""Problem reports: opened by readers, answered and closed by owners, withdrawn by who opened them."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from meshport.address import Address
from meshport.catalog import Removal, Retirement
from meshport.errors import NotRegistered, RegistrationRefused
from meshport.problems import ProblemReportRequest, ProblemState
from meshport.registry import Registry
from meshport.registry.login import RegistryLogin
from meshport_registry import Settings, problems, running
from tests.registry.door import made_key
from tests.registry.schemas import plays, product, schema
from tests.registry.test_changes import events, follow

PLAYS = Address("player", "plays")


def late(address: Address = PLAYS, text: str | None = None) -> ProblemReportRequest:
    """Return a report of a product that is late."""
    return ProblemReportRequest(address=address, title="no plays since noon", text=text)


def test_a_report_is_opened_answered_and_closed(database: str, registry: Registry) -> None:
    """Each step is kept with its words and its time, listed until the report is closed, and news for readers."""
    follow(registry)
    registry.register(*plays())
    opened = registry.problems.open(late(PLAYS.at("events", 1), text="the last one is of 11:58"))
    assert (opened.id, opened.state, str(opened.address)) == (1, "open", "mesh://player/plays/events@1")
    assert (opened.owner, opened.opened_by, opened.answers) == ("team-player", "anonymous", ())
    registry.problems.answer(1, "the source stands still")
    answered = registry.problems.answer(1, "it runs again")
    assert answered.state is ProblemState.ANSWERED
    assert [each.text for each in answered.answers] == ["the source stands still", "it runs again"]
    assert registry.problems.list(PLAYS) == (answered,)
    closed = registry.problems.close(1, "published again")
    assert (closed.state, closed.reason, closed.closed_by) == (ProblemState.CLOSED, "published again", "anonymous")
    assert registry.problems.list() == ()
    assert registry.problems.list(PLAYS, closed=True) == (closed,)
    news = [(each["kind"], each["item"], each["about"], each["address"]) for each in events(database)[2:]]
    kinds = ("PROBLEM_OPENED", "PROBLEM_ANSWERED", "PROBLEM_ANSWERED", "PROBLEM_CLOSED")
    assert news == [(kind, 1, "mesh://player/plays", "mesh://player/plays/events@1") for kind in kinds]
    assert events(database)[2]["summary"] == "problem 1 of mesh://player/plays/events@1: no plays since noon"


def test_what_cannot_be_is_refused(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown product, port or number, a step after the last one, and more reports than an owner can read."""
    monkeypatch.setattr(problems, "MOST_OPEN", 2)
    monkeypatch.setattr(problems, "MOST_ANSWERS", 1)
    registry.register(*plays())
    registry.register(product("mesh://charts/top", "player/plays"), {"events@1": schema("user", "track")})
    with pytest.raises(NotRegistered):
        registry.problems.open(late(Address("player", "skips")))
    for port in (PLAYS.at("events", 2), Address("player", "plays", "other")):
        with pytest.raises(RegistrationRefused, match="is not a port of"):
            registry.problems.open(late(port))
    with pytest.raises(NotRegistered, match="there is no problem 1"):
        registry.problems.answer(1, "which one?")
    for _ in range(2):
        registry.problems.open(late())
    with pytest.raises(RegistrationRefused, match="has 2 reports that are not closed"):
        registry.problems.open(late())
    assert registry.problems.open(late(Address("charts", "top"))).id == 3
    registry.problems.answer(1, "we are on it")
    with pytest.raises(RegistrationRefused, match="has 1 answers"):
        registry.problems.answer(1, "still")
    registry.problems.close(1, "mended")
    for again in (registry.problems.close, registry.problems.answer):
        with pytest.raises(RegistrationRefused, match="problem 1 is closed already"):
            again(1, "again")
    assert registry.problems.open(late()).id == 4


def test_a_removed_product_has_no_reports(registry: Registry) -> None:
    """Reports and their answers are removed with their product."""
    registry.register(*plays())
    registry.problems.answer(registry.problems.open(late()).id, "we are on it")
    registry.retire(plays()[0].id, Retirement())
    registry.drop(plays()[0].id, Removal())
    assert registry.problems.list(closed=True) == ()


def test_who_opened_a_report_withdraws_it(database: str) -> None:
    """Another reader does not, and neither does the owner, who closes it instead."""
    groups = {"root": "mesh-admins", "ann": "listeners", "bea": "listeners", "owen": "player"}
    keys = {name: SecretStr(made_key(database, name, group).text) for name, group in groups.items()}

    def known(name: str) -> Registry:
        return Registry(url, login=RegistryLogin(token=keys[name]))

    with running(Settings(database=database, port=0, bootstrap_servers="k:1")) as url:
        with known("root") as admin:
            admin.register(*plays(owner="player", requiredSecurityGroup="listeners"))
        with known("ann") as ann, known("bea") as bea:
            assert ann.problems.open(late()).opened_by == "ann"
            with pytest.raises(RegistrationRefused, match="ann opened problem 1"):
                bea.problems.withdraw(1, "not mine")
            with pytest.raises(RegistrationRefused, match="no policy permits"):
                ann.problems.close(1, "not theirs")
            assert ann.problems.withdraw(1, "our own filter").closed_by == "ann"
            ann.problems.open(late())
        with known("owen") as owner:
            assert owner.problems.close(2, "mended").closed_by == "owen"
