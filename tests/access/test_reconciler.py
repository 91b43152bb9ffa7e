"""Carrying grants out: what is created and deleted for them, in which order, and what stays."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from meshport.access import Acl, BoundPort, MeshPorts, Principals, Reconciled, Rights, reconcile
from meshport.access.enforcement import AclAdmin
from meshport.address import Address
from meshport.binding import RegisteredProduct
from meshport.errors import KafkaError, NotRegistered
from meshport.grants import Grant, GrantedAcl, GrantState
from meshport.registry import PortGenerations

PLAYS = Address("player", "plays", "events", 1)
READ = Acl("User:billing.invoices", "read", "topic", "player.plays.events.v1")
NOW = datetime.now(UTC)


class NoProducts:
    """A registry that has no product: all ports are planned ones."""

    def product(self, which: Address) -> RegisteredProduct:
        """Raise NotRegistered."""
        raise NotRegistered(f"{which} is not registered")

    def generations(self, address: Address) -> PortGenerations:
        """Raise NotRegistered."""
        raise NotRegistered(f"{address} is not registered")


class Notes:
    """The grants of a registry, and its note of ACLs, each change of which is kept in `log`."""

    def __init__(self, log: list[str], *grants: Grant) -> None:
        self.grants = grants
        self.noted: dict[GrantedAcl, None] = {}
        self._log = log

    def list(self, *, current: bool = False) -> tuple[Grant, ...]:
        """Return the grants."""
        assert current
        return self.grants

    def acls(self) -> tuple[GrantedAcl, ...]:
        """Return the note."""
        return tuple(self.noted)

    def note_acls(self, *, added: Collection[GrantedAcl] = (), removed: Collection[GrantedAcl] = ()) -> None:
        """Change the note."""
        self.noted |= dict.fromkeys(added)
        for each in removed:
            self.noted.pop(each, None)
        self._log.append("note" if added else "forget")


class AclSet:
    """The ACLs of a cluster that fails on request, or runs no authorizer."""

    def __init__(self, log: list[str], *present: Acl, authorizer: bool = True) -> None:
        self.present = set(present)
        self.fails = False
        self._authorizer = authorizer
        self._log = log

    def all(self) -> frozenset[Acl] | None:
        """Return the ACLs."""
        return frozenset(self.present) if self._authorizer else None

    def create(self, acls: Collection[Acl]) -> None:
        """Create ACLs."""
        self._change("create")
        self.present |= set(acls)

    def delete(self, acls: Collection[Acl]) -> None:
        """Delete ACLs."""
        self._change("delete")
        self.present -= set(acls)

    def _change(self, what: str) -> None:
        self._log.append(what)
        if self.fails:
            raise KafkaError("the broker is gone")


def grant(state: GrantState = GrantState.GRANTED, *, address: Address = PLAYS, forbidden_by: str = "") -> Grant:
    """Return a grant of `billing/invoices`."""
    return Grant(
        id=1,
        reader="billing/invoices",
        address=address,
        owner="team-player",
        purpose="invoices",
        state=state,
        requested_by="bob",
        requested_at=NOW,
        until=NOW + timedelta(days=1),
        forbidden_by=(forbidden_by,) if forbidden_by else (),
    )


class World:
    """A registry with grants and clusters with ACLs."""

    def __init__(self, *grants: Grant, **clusters: AclSet) -> None:
        self.log: list[str] = []
        self.notes = Notes(self.log, *grants)
        self.clusters: dict[str | None, AclSet] = {name: each for name, each in clusters.items()}  # noqa: C416 - a key may be None later
        self.clusters[None] = AclSet(self.log)

    def look(self, needed: Rights | None = None) -> Reconciled:
        """Look at the grants, and carry them out."""
        ports = [
            BoundPort(PLAYS, None, "player.plays.events.v1", ("player.plays.events.v1",)),
            BoundPort(Address("player", "far", "events", 1), "far", "far.events.v1", ("far.events.v1",)),
        ]
        return reconcile(
            self.notes,
            MeshPorts(NoProducts(), ports),
            Principals(),
            self._admin,
            lambda: {} if needed is None else needed,
        )

    def _admin(self, name: str | None) -> AclAdmin:
        return self.clusters[name]

    @property
    def present(self) -> set[Acl]:
        """The ACLs of the default cluster."""
        return self.clusters[None].present


def test_a_grant_is_carried_out_once_and_ended() -> None:
    """What is created is noted before, what is deleted is forgotten after; another look changes nothing."""
    world = World(grant())
    done = world.look()
    assert world.log == ["note", "create"]
    assert READ in world.present
    assert set(done.created[None]) == world.present
    assert world.look() == Reconciled(created={}, deleted={})
    world.notes.grants = ()
    assert {*world.look().deleted[None]} == {*done.created[None]}
    assert world.log == ["note", "create", "delete", "forget"]
    assert world.present == set()
    assert world.notes.acls() == ()


@pytest.mark.parametrize("state", [each for each in GrantState if each is not GrantState.GRANTED])
def test_only_what_is_granted_lets_anyone_read(state: GrantState) -> None:
    """A request, and what was refused, revoked or has ended, has no ACLs."""
    world = World(grant(state))
    world.look()
    assert world.present == set()


def test_a_forbid_wins_over_a_grant() -> None:
    """A grant that a policy forbids is not carried out, and is ended where it was."""
    world = World(grant())
    world.look()
    world.notes.grants = (grant(forbidden_by="policies/a.cedar#1"),)
    world.look()
    assert world.present == set()


def test_what_is_there_before_is_not_the_grants() -> None:
    """An ACL that an administrator made stays when a grant of the same ends."""
    world = World(grant())
    world.present.add(READ)
    world.look()
    assert len(world.present) > 1
    world.notes.grants = ()
    world.look()
    assert world.present == {READ}


def test_what_a_product_needs_stays() -> None:
    """An ACL that was created for a grant and that a product needs by itself by now is kept, and is no longer the grant's."""
    world = World(grant())
    world.look()
    world.notes.grants = ()
    done = world.look({None: {READ: "a policy"}})
    assert READ not in done.deleted[None]
    assert world.present == {READ}
    assert world.notes.acls() == ()
    world.look()
    assert world.present == {READ}


@pytest.mark.parametrize("ends", [False, True])
def test_a_change_that_fails_is_made_at_the_next_look(ends: bool) -> None:
    """A cluster that does not answer is reported, and nothing that was created for a grant is ever without its note."""
    world = World(grant())
    if ends:
        world.look()
        world.notes.grants = ()
    world.clusters[None].fails = True
    assert set(world.look().failed) == {None}
    assert {*world.present} <= {_acl(each) for each in world.notes.acls()}
    world.clusters[None].fails = False
    world.look()
    assert (READ in world.present) is not ends
    assert bool(world.notes.acls()) is not ends


def _acl(noted: GrantedAcl) -> Acl:
    fields: Mapping[str, str] = noted.model_dump(exclude={"cluster"})
    return Acl(**fields)  # type: ignore[arg-type]


def test_each_cluster_is_by_itself() -> None:
    """A cluster without an authorizer is named, one that fails is too, and the others get what they need."""
    far = AclSet([], authorizer=False)
    world = World(grant(), grant(address=Address("player", "far", "events", 1)), far=far)
    assert world.look().open_clusters == ("far",)
    assert READ in world.present
    broken = AclSet([])
    broken.fails = True
    world = World(grant(), grant(address=Address("player", "far", "events", 1)), far=broken)
    assert set(world.look().failed) == {"far"}
    assert READ in world.present
