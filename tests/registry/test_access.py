"""Asking for access: who may ask and who decides, grants that end by themselves, and input ports that ask."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from meshport.address import Address
from meshport.catalog import Removal, Retirement
from meshport.errors import NotRegistered, RegistrationRefused
from meshport.grants import AccessRequest, GrantApproval, GrantedAcl, GrantState
from meshport.product import Product
from meshport.registry import Registry
from meshport.schema import Schema
from meshport_registry import Settings, running, tables
from meshport_registry.settings import database_url
from meshport_registry.store import RegistryStore, now_us
from tests.registry.door import made_key
from tests.registry.schemas import plays, product, schema
from tests.waiting import wait_for

PLAYS = Address("player", "plays")
END = datetime(2100, 1, 1, tzinfo=UTC)


def invoices(*inputs: str, **more: Any) -> tuple[Product, dict[str, Schema]]:
    """Return the product `billing/invoices`, which reads the given ports."""
    return product("mesh://billing/invoices", *inputs, owner="team-billing", **more), {"events@1": schema("user")}


def asked(**other: Any) -> AccessRequest:
    """Return a request of `billing/invoices` for `player/plays`."""
    return AccessRequest.model_validate({"address": PLAYS, "reader": "billing/invoices", "purpose": "invoices"} | other)


def approval() -> GrantApproval:
    """Return the approval of a grant that ends in another century."""
    return GrantApproval(until=END)


def test_a_request_is_granted_and_revoked(registry: Registry) -> None:
    """A grant says who reads what, what for, since when, until when and on whose word; so does its end."""
    registry.register(*plays())
    wanted = registry.access.request(asked())
    assert (wanted.state, wanted.reader, str(wanted.address)) == (
        GrantState.REQUESTED,
        "billing/invoices",
        "mesh://player/plays/events",
    )
    assert (wanted.purpose, wanted.requested_by, wanted.owner) == ("invoices", "anonymous", "team-player")
    granted = registry.access.grant(wanted.id, approval())
    assert (granted.state, granted.until, granted.decided_by) == (GrantState.GRANTED, END, "anonymous")
    assert registry.access.list(PLAYS, current=True) == (granted,)
    revoked = registry.access.revoke(wanted.id, "the contract has ended")
    assert (revoked.state, revoked.reason) == (GrantState.REVOKED, "the contract has ended")
    assert registry.access.list(current=True) == ()
    assert registry.access.list(reader="billing/invoices") == (revoked,)
    assert registry.access.list(reader="billing/reports") == ()


def test_a_request_is_decided_once(registry: Registry) -> None:
    """What is refused is not granted, nor what is granted refused; only what is granted is revoked."""
    registry.register(*plays())
    first, second = (registry.access.request(asked(reader=each)) for each in ("billing/invoices", "billing/reports"))
    with pytest.raises(RegistrationRefused, match="is requested, and not granted"):
        registry.access.revoke(first.id, "why not")
    registry.access.refuse(first.id, "ask for player/listens")
    registry.access.grant(second.id, approval())
    with pytest.raises(RegistrationRefused, match=f"request {first.id} of billing/invoices is refused already"):
        registry.access.grant(first.id, approval())
    with pytest.raises(RegistrationRefused, match="is granted already"):
        registry.access.refuse(second.id, "too late")
    with pytest.raises(NotRegistered, match="there is no request 99"):
        registry.access.revoke(99, "nothing")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"address": "player/plays/other"}, "is not a port"),
        ({"address": "player/plays/events@2"}, "is not a port"),
        ({"address": "player/listens"}, "did you mean|is not registered"),
        ({"reader": None}, "'anonymous' is the name of callers that show nothing"),
        ({"until": "2020-01-01T00:00:00Z"}, "is past"),
    ],
)
def test_a_request_that_cannot_be_is_refused(registry: Registry, body: dict[str, Any], says: str) -> None:
    """A request is for a port that there is, of a reader that has a name, until a day that is to come."""
    registry.register(*plays())
    with pytest.raises(Exception, match=says):
        registry.access.request(asked(**body))
    assert registry.access.list() == ()


def test_a_request_waits_once(registry: Registry) -> None:
    """The same request again is refused while the first one waits; another line, reader or a renewal is not."""
    registry.register(*plays())
    first = registry.access.request(asked())
    with pytest.raises(RegistrationRefused, match=f"request {first.id} of billing/invoices for .* waits already"):
        registry.access.request(asked(reader="mesh://billing/invoices"))
    registry.access.request(asked(address="player/plays/events@1"))
    registry.access.grant(first.id, approval())
    registry.access.request(asked())


def test_a_grant_has_an_end(registry: Registry) -> None:
    """A grant takes the end that was asked for, or the owner's; without any, or with one that is past, it is refused."""
    registry.register(*plays())
    named, open_ended = registry.access.request(asked(until=END)), registry.access.request(asked(reader="ann@x.org"))
    assert registry.access.grant(named.id, GrantApproval()).until == END
    with pytest.raises(RegistrationRefused, match="names no end"):
        registry.access.grant(open_ended.id, GrantApproval())
    with pytest.raises(RegistrationRefused, match="is past"):
        registry.access.grant(open_ended.id, GrantApproval(until=datetime(2000, 1, 1, tzinfo=UTC)))


GRANTED_ALONE = """
forbid (principal, action == Action::"discover", resource == Product::"player/plays")
unless { principal in resource.owners || resource.grantedTo.contains(principal) };
"""


@pytest.fixture
def service_with_keys(database: str) -> Iterator[Callable[..., Registry]]:
    """Yield a function that returns a client with a key of a name and groups."""
    opened: list[Registry] = []
    made_key(database, "root", "mesh-admins")
    with running(Settings(database=database, port=0, bootstrap_servers="kafka:9092")) as url:

        def client(name: str, *groups: str) -> Registry:
            key = made_key(database, name, *groups)
            opened.append(Registry(url.replace("://", f"://{key.id}:{key.secret}@"), keep=0))
            return opened[-1]

        try:
            yield client
        finally:
            for each in opened:
                each.close()


def refused(call: Callable[..., object], *arguments: object) -> bool:
    """Return whether the policies refuse a call."""
    try:
        call(*arguments)
    except RegistrationRefused as error:
        return error.status == 403
    return False


def test_the_readers_owner_asks_and_the_products_owner_decides(service_with_keys: Callable[..., Registry]) -> None:
    """Who may register a product asks in its name, everyone asks in their own; the owners of the port's product decide."""
    player, billing = service_with_keys("pia", "team-player"), service_with_keys("bob", "team-billing")
    other, admin = service_with_keys("eve", "team-other"), service_with_keys("root", "mesh-admins")
    process = service_with_keys("billing/invoices")
    player.register(*plays(classification="restricted"))
    billing.register(*invoices())
    assert refused(other.access.request, asked())
    assert refused(other.access.request, asked(reader="bob"))
    for each in (billing, process, admin):
        wanted = each.access.request(asked())
        for stranger in (other, billing, process):
            assert refused(stranger.access.grant, wanted.id, approval())
            assert refused(stranger.access.refuse, wanted.id, "no")
        granted = player.access.grant(wanted.id, approval())
        assert granted.decided_by == "pia"
        assert refused(other.access.revoke, wanted.id, "no")
        assert player.access.revoke(wanted.id, "enough").revoked_by == "pia"
    own = other.access.request(asked(reader=None))
    assert (own.reader, own.requested_by) == ("eve", "eve")
    assert other.access.list(reader="eve") == (own,)


def test_decisions_follow_a_grant_to_its_end(service_with_keys: Callable[..., Registry], database: str) -> None:
    """A policy that looks at grants permits from the grant on, and no longer when it is revoked or has ended by itself."""
    player, admin = service_with_keys("pia", "team-player"), service_with_keys("root", "mesh-admins")
    process = service_with_keys("billing/invoices")
    player.register(*plays())
    policies = json.dumps({"texts": {"policies/granted.cedar": GRANTED_ALONE}})
    admin._requests.send("PUT", "/api/v1/policies", content=policies)

    def may_discover() -> bool:
        return not refused(process.product, PLAYS)

    wait_for(lambda: not may_discover())
    for end in (lambda grant: player.access.revoke(grant, "enough"), lambda grant: end_soon(database, grant)):
        grant = player.access.grant(process.access.request(asked(reader=None)).id, approval())
        wait_for(may_discover)
        end(grant.id)
        wait_for(lambda: not may_discover())
    assert [each.state for each in player.access.list(PLAYS)] == [GrantState.ENDED, GrantState.REVOKED]


def end_soon(database: str, grant: int) -> None:
    """Move the end of a grant to an instant that is near; no change is counted, as time counts none."""
    own = tables.access_grant
    store = RegistryStore(database_url(database)).open()
    with closing(store):
        soon = update(own).where(own.c.id == grant).values(ends_at=now_us() + 100_000)
        asyncio.run(store.write(lambda connection: connection.execute(soon) and None))


def test_an_input_port_asks(service_with_keys: Callable[..., Registry]) -> None:
    """A product that may not read its input port asks by its registration, once; a grant lets it read, and its end does not."""
    player, billing = service_with_keys("pia", "team-player"), service_with_keys("bob", "team-billing")
    player.register(*plays(classification="restricted"))
    (note,) = [each for each in billing.register(*invoices("player/plays")).notes if "may not read" in each]
    (wanted,) = billing.access.list()
    assert note == f"may not read mesh://player/plays yet: request {wanted.id}, about which team-player decides"
    assert (wanted.reader, wanted.requested_by, wanted.purpose) == (
        "billing/invoices",
        "bob",
        "an input port of billing/invoices",
    )
    assert reading(billing) == (False, wanted.id, GrantState.REQUESTED)
    player.access.grant(wanted.id, approval())
    assert reading(billing) == (True, wanted.id, GrantState.GRANTED)
    assert not [each for each in billing.register(*invoices("player/plays")).notes if "may not read" in each]
    player.access.revoke(wanted.id, "enough")
    assert reading(billing) == (False, wanted.id, GrantState.REVOKED)
    (note,) = [each for each in billing.register(*invoices("player/plays")).notes if "may not read" in each]
    assert note == f"may not read mesh://player/plays: request {wanted.id} is revoked"
    assert len(billing.access.list()) == 1


def reading(client: Registry) -> tuple[bool, int | None, GrantState | None]:
    """Return whether the one input port of the mesh may be read, and by which grant."""
    (found,) = client.access.readers(PLAYS)
    assert found.reader == "billing/invoices"
    return found.allowed, found.grant, found.state


def test_what_the_policies_permit_is_not_asked_for(service_with_keys: Callable[..., Registry]) -> None:
    """An internal product is read without a request; and nobody gets at a restricted one by naming its owner as their own."""
    player, billing = service_with_keys("pia", "team-player"), service_with_keys("bob", "team-billing")
    hers = service_with_keys("eve", "team-player", "team-other")
    player.register(*plays())
    billing.register(*invoices("player/plays"))
    assert billing.access.list() == ()
    assert reading(billing)[0]
    declared = product("mesh://other/spy", "player/plays", owner="team-player"), {"events@1": schema("user")}
    player.register(*plays(classification="restricted"))
    hers.register(*declared)
    assert {each.reader: each.allowed for each in player.access.readers()} == {
        "billing/invoices": False,
        "other/spy": False,
    }


def test_a_planned_product_is_judged_as_it_is_declared(service_with_keys: Callable[..., Registry]) -> None:
    """Before it is registered, a product and what it reads are judged by their declarations; nothing is written."""
    billing = service_with_keys("bob", "team-billing")
    reader, _ = invoices("player/plays", "player/unknown")
    closed, _ = plays(classification="restricted")
    opened, _ = plays()
    assert [each.allowed for each in billing.access.readings_of(reader, [closed])] == [False]
    assert [each.allowed for each in billing.access.readings_of(reader, [opened])] == [True]
    assert billing.access.readings_of(reader) == ()
    assert billing.access.list() == ()


def test_local_callers_read_what_no_policy_forbids(registry: Registry) -> None:
    """A registry without identities lets products read what they declare, as it lets everybody do everything."""
    registry.register(*plays(classification="restricted"))
    registry.register(*invoices("player/plays"))
    assert reading(registry) == (True, None, None)
    policy = 'forbid (principal == Caller::"billing/invoices", action == Action::"read", resource);'
    texts = json.dumps({"texts": {"policies/a.cedar": policy}})
    registry._requests.send("PUT", "/api/v1/policies", content=texts)
    assert reading(registry) == (False, None, None)


def test_an_address_that_is_free_again_has_no_grants(registry: Registry) -> None:
    """Whoever registers the address of a removed product gets nothing of what that was granted."""
    registry.register(*plays())
    registered = registry.register(*invoices()).product
    grant = registry.access.grant(registry.access.request(asked()).id, approval())
    registry.access.request(asked(address="player/plays/events@1"))
    registry.retire(UUID(registered.guid), Retirement())
    registry.drop(UUID(registered.guid), Removal())
    assert {each.state for each in registry.access.list()} == {GrantState.REVOKED}
    assert registry.access.list(current=True) == ()
    assert grant.id in {each.id for each in registry.access.list()}


def test_acls_are_noted_once_and_forgotten(registry: Registry) -> None:
    """The note of what was created for grants is a set, and holds each cluster apart."""
    some = [
        GrantedAcl(cluster=each, principal="User:a", operation="read", resource="topic", name="t", pattern="literal")
        for each in (None, "east")
    ]
    registry.access.note_acls(added=[*some, *some])
    registry.access.note_acls(added=some)
    assert registry.access.acls() == tuple(some)
    registry.access.note_acls(removed=some[:1])
    assert registry.access.acls() == (some[1],)
