"""`meshport access request`, `grant`, `refuse`, `revoke`, `list` and `enforce`: who reads what, and on whose word."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Annotated, Any, Final

import typer

from meshport.access.measures import CONNECTED, ENFORCED, EnforcementMeasures
from meshport.address import Address
from meshport.cli.acls import MeshAcls, acl_as_dict, described
from meshport.cli.metrics import MetricsOption, serving_metrics
from meshport.cli.output import emit, log, say, table
from meshport.cli.session import (
    JsonOption,
    KafkaConfigOption,
    RegistryOption,
    TopicsKafkaOption,
    open_registry,
    topics_clusters,
)
from meshport.cli.signals import stop_on_signal
from meshport.errors import MeshError, RegistrationRefused, RegistryUnavailable
from meshport.grants import AccessRequest, Grant, GrantApproval, GrantState, PortReader
from meshport.kafka.clusters import KafkaClusters
from meshport.metrics.readiness import Readiness
from meshport.registry import Registry
from meshport.rfc3339 import day, loose_instant

# A grant is carried out, and one that was revoked is ended, so many seconds later at most. Its own end is met exactly.
_LOOK_EVERY_S: Final = 5.0

_LONGEST_REASON: Final = 1000
_LONGEST_NAME: Final = 256


def _words(text: str | None) -> str | None:
    """Check a reason or a purpose, as the registry would."""
    if text is not None and not 0 < len(text.strip()) <= _LONGEST_REASON:
        raise typer.BadParameter(f"write 1 to {_LONGEST_REASON} characters")
    return text


def _name(text: str | None) -> str | None:
    if text is not None and not 0 < len(text) <= _LONGEST_NAME:
        raise typer.BadParameter(f"a name has 1 to {_LONGEST_NAME} characters")
    return text


NumberArgument = Annotated[int, typer.Argument(metavar="NUMBER", help="Of the request, as `list` shows it.", min=1)]
UntilOption = Annotated[
    str | None,
    typer.Option(metavar="DAY", help="The last day (UTC), as 2027-12-31; or an instant, as 2027-12-31T18:00:00Z."),
]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", callback=_words, help="Why; `list` shows it.")]


def request(
    address: Annotated[str, typer.Argument(help="The port: shop/orders, shop/orders/events, shop/orders/events@1.")],
    purpose: Annotated[str, typer.Option(metavar="TEXT", callback=_words, help="What for; the owner decides by it.")],
    reader: Annotated[
        str | None,
        typer.Option(
            "--as",
            metavar="READER",
            callback=_name,
            help="Who is to read: DOMAIN/PRODUCT, or a name. By default the caller.",
        ),
    ] = None,
    until: UntilOption = None,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Ask the owner of a product for access to a port of it.

    Everyone asks for themselves; for a product, the owners of its domain ask, and the product's own process. An input port
    that a product declares is such a request by itself, unless policies let the product read it.

    Example: meshport access request shop/orders --as billing/invoices --purpose "invoices by order"
    """
    wanted = AccessRequest(address=Address.parse(address), reader=reader, purpose=purpose, until=_until(until))
    with open_registry(registry) as mesh:
        asked = mesh.access.request(wanted)
    say(f"request {asked.id}: {asked.reader} asks to read {asked.address}; {asked.owner} decides about it")
    if json:
        emit(_facts(asked))


def grant(
    number: NumberArgument,
    until: UntilOption = None,
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", callback=_words, help="Why; `list` shows it.")
    ] = None,
    registry: RegistryOption = None,
    kafka: TopicsKafkaOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Grant a request until a day, or until the end that it names. The grant ends by itself.

    Where this command can reach Kafka with a login that may change ACLs, the reader can read at once; otherwise at the next
    look of `meshport access enforce`, or at the next `meshport apply` with such a login.

    Example: meshport access grant 4 --until 2027-12-31
    """
    clusters = topics_clusters(kafka_config, registry=registry, servers=kafka)
    with open_registry(registry) as mesh:
        granted = mesh.access.grant(number, GrantApproval(until=_until(until), reason=reason))
        say(f"granted: {granted.reader} may read {granted.address} until {_time(granted.until)}")
        _at_once(mesh, clusters)
    if json:
        emit(_facts(granted))


def refuse(
    number: NumberArgument, reason: ReasonOption, registry: RegistryOption = None, json: JsonOption = False
) -> None:
    """Refuse a request.

    Example: meshport access refuse 4 --reason "player/listens has what you need, without names"
    """
    with open_registry(registry) as mesh:
        refused = mesh.access.refuse(number, reason)
    say(f"refused: {refused.reader} may not read {refused.address}")
    if json:
        emit(_facts(refused))


def revoke(
    number: NumberArgument,
    reason: ReasonOption,
    registry: RegistryOption = None,
    kafka: TopicsKafkaOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """End a grant now.

    Example: meshport access revoke 4 --reason "the contract with them has ended"
    """
    clusters = topics_clusters(kafka_config, registry=registry, servers=kafka)
    with open_registry(registry) as mesh:
        revoked = mesh.access.revoke(number, reason)
        say(f"revoked: {revoked.reader} may no longer read {revoked.address}")
        _at_once(mesh, clusters)
    if json:
        emit(_facts(revoked))


def _at_once(mesh: Registry, clusters: KafkaClusters) -> None:
    """Carry grants out now, if a Kafka was named and this login may change its ACLs."""
    if clusters == KafkaClusters():
        say("no Kafka was named: `meshport access enforce` carries it out there")
        return
    try:
        for line in described(MeshAcls(mesh, clusters).reconcile()):
            say(line)
    except RegistrationRefused as error:
        say(f"it is left to `meshport access enforce`: {error.message}")


def list_grants(
    address: Annotated[str | None, typer.Argument(metavar="[ADDRESS]", help="Of a product or a port.")] = None,
    reader: Annotated[str | None, typer.Option("--as", metavar="READER", help="Only those of this reader.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Also what was refused, was revoked or has ended.")] = False,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Say who reads what, since when, until when and on whose word; and who waits for that.

    Products that policies let read their input ports are listed with these policies.

    Examples:
        meshport access list shop/orders
        meshport access list --as billing/invoices --all
    """
    wanted = None if address is None else Address.parse(address)
    with open_registry(registry) as mesh:
        grants = mesh.access.list(wanted, reader=reader, current=not everything)
        found = mesh.access.readers(wanted)
    readers = [each for each in found if reader in {None, each.reader} and not _has_a_row(each)]
    if json:
        for grant_ in grants:
            emit(_facts(grant_))
        for each in readers:
            emit(_by_policy(each))
    elif grants or readers:
        columns = ["number", "reader", "reads", "state", "since", "until", "by", "what for, and why"]
        table(columns, [*map(_row, grants), *map(_policy_row, readers)])
    else:
        say("no reader has access, and no request is open")


def _has_a_row(reading: PortReader) -> bool:
    """Whether an input port is listed as a grant or request already."""
    in_list = reading.state in {GrantState.REQUESTED, GrantState.GRANTED}
    return reading.by_grant or (in_list and not reading.allowed)


def _row(grant_: Grant) -> list[str]:
    since = grant_.revoked_at or grant_.decided_at or grant_.requested_at
    who = grant_.revoked_by or grant_.decided_by or grant_.requested_by
    state = f"forbidden by {', '.join(grant_.forbidden_by)}" if grant_.forbidden_by else str(grant_.state)
    words = "; ".join(each for each in (grant_.purpose, grant_.reason) if each)
    until = _time(grant_.until or grant_.wanted_until)
    return [str(grant_.id), grant_.reader, grant_.address.key, state, _time(since), until, who, words]


def _policy_row(reading: PortReader) -> list[str]:
    state = "by policy" if reading.allowed else "not allowed"
    who = ", ".join(reading.policies) or "-"
    return ["-", reading.reader, reading.address.key, state, "-", "-", who, "an input port"]


def _facts(grant_: Grant) -> dict[str, Any]:
    return grant_.model_dump(mode="json")


def _by_policy(reading: PortReader) -> dict[str, Any]:
    return reading.model_dump(mode="json", exclude={"grant", "by_grant"}) | {
        "state": "policy" if reading.allowed else "not-allowed"
    }


def enforce(
    once: Annotated[
        bool, typer.Option("--once", help="Look once, and end; 1 where a cluster could not be changed.")
    ] = False,
    metrics: MetricsOption = None,
    registry: RegistryOption = None,
    kafka: TopicsKafkaOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Carry grants out at Kafka until interrupted: create their ACLs, and delete them when the grants have ended.

    ACLs of Kafka have no end, so that one such command runs for a mesh, with a login at Kafka that may change ACLs and one at
    the registry that may administer it. It deletes only what was created for a grant: what it creates is noted at the
    registry first. `meshport up --secure` runs it too.

    Example: meshport access enforce --once
    """
    clusters = topics_clusters(kafka_config, registry=registry, servers=kafka)
    stopped = None if once else stop_on_signal()
    readiness = Readiness("access enforce", [CONNECTED, ENFORCED])
    with serving_metrics(metrics, readiness), open_registry(registry) as mesh:
        measures = EnforcementMeasures(readiness)
        acls = MeshAcls(mesh, clusters)
        reported: list[str] = []
        while True:
            pause = _LOOK_EVERY_S
            try:
                done = acls.reconcile()
                problems = [*done.failed.values()]
                lines = described(done)
                if json:
                    _emit_changes(done.created, "created")
                    _emit_changes(done.deleted, "deleted")
                grants = mesh.access.list(current=True)
                pause = _until_next_end(grants)
                measures.looked(done, len(grants))
            except RegistryUnavailable as error:
                if stopped is None:
                    raise
                measures.unanswered(error)
                problems, lines = [], [f"the registry does not answer, and nothing is changed: {error.message}"]
            for line in lines:
                if stopped is None:
                    say(line)
                elif line not in reported:
                    log(line)
            reported = lines
            if stopped is None:
                _end_with(problems)
                return
            if stopped.wait(pause):
                return
            acls = acls.again()


def _emit_changes(changes: Any, word: str) -> None:
    for cluster, acls in changes.items():
        for acl in sorted(acls):
            emit({"cluster": cluster, "change": word, **acl_as_dict(acl)})


def _end_with(problems: Sequence[MeshError]) -> None:
    if problems:
        raise problems[0]
    say("grants are carried out")


def _until_next_end(grants: tuple[Grant, ...]) -> float:
    """Return the seconds to the next look: at the next end of a grant, if that comes sooner than the usual one."""
    now = datetime.now(UTC)
    ends = [(each.until - now).total_seconds() for each in grants if each.until is not None]
    return min([_LOOK_EVERY_S, *(max(each, 0.0) for each in ends)])


def _until(text: str | None) -> datetime | None:
    """Return the end that an option names: the end of a day (UTC), or an instant."""
    if text is None:
        return None
    try:
        return datetime.combine(day(text), time(), UTC) + timedelta(days=1)
    except ValueError:
        pass
    try:
        return loose_instant(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--until") from error


def _time(moment: datetime | None) -> str:
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M} UTC"
