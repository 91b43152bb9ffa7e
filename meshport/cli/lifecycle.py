"""`meshport deprecate`, `retire` and `drop`: the end of a product's life, in the registry and on Kafka."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Annotated

import typer

from meshport.address import Address, generation_topics
from meshport.binding import Binding, RegisteredProduct
from meshport.catalog import Deprecation, Reader, Removal, Retirement
from meshport.cli.acl_removal import AclRemoval
from meshport.cli.acls import MeshAcls
from meshport.cli.completion import addresses
from meshport.cli.observed import observed_of, reader_row, records_left, seen_text
from meshport.cli.output import FINDINGS, emit, say, table
from meshport.cli.read import AddressArgument
from meshport.cli.session import JsonOption, KafkaConfigOption, RegistryOption, open_clusters, open_registry
from meshport.errors import AddressError, NotRegistered, RegistrationRefused
from meshport.kafka.admin import Admin
from meshport.kafka.admins import ClusterAdmins
from meshport.kafka.clusters import KafkaClusters
from meshport.process.wire.plan import processor_group
from meshport.product import Status
from meshport.project.topic_use import TopicUse, topic_use
from meshport.registry import Registry
from meshport.seen_readers import SILENT_AFTER, ReaderKind, ReaderState, SeenReader

ProductArgument = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="The product: shop/orders", autocompletion=addresses)
]
SuccessorOption = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="The product or port that its readers move to.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]


def deprecate(
    address: ProductArgument,
    on: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="DAY", help="The day (UTC) by which its readers should have left."),
    ] = None,
    successor: SuccessorOption = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the announcement back.")] = False,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Announce the end of a product, with a day and a successor, or take that back.

    Nothing stops: the product is published and read as before. One major line ends by `deprecatedOn` at its port in
    product.yaml, as `meshport new ADDRESS --major` writes it.

    Examples:
        meshport deprecate shop/orders --on 2027-06-30 --successor shop/purchases
        meshport deprecate shop/orders --undo
    """
    wanted = _product(address, "a line is deprecated by `deprecatedOn` at its port in product.yaml")
    if undo:
        if on or successor:
            raise typer.BadParameter("it takes no day and no successor", param_hint="--undo")
        _undo(wanted, registry, json)
        return
    if on is None:
        raise typer.BadParameter("give the day by which its readers should have left", param_hint="--on")
    with open_registry(registry) as mesh:
        known = mesh.product(wanted)
        body = Deprecation(on=on.date(), successor=None if successor is None else Address.parse(successor))
        done = mesh.deprecate(known.descriptor.id, body)
        readers = mesh.readers(wanted)
    if json:
        emit(_facts(done, wanted))
        return
    follows = done.descriptor.successor
    say(f"{wanted.key} is deprecated: its readers should have left by {done.descriptor.deprecated_on}")
    say(f"they move to {follows.key}" if follows else "no successor is named; --successor ADDRESS names one")
    _say_readers(readers)


def _undo(wanted: Address, registry: str | None, json: bool) -> None:
    with open_registry(registry) as mesh:
        known = mesh.product(wanted)
        if known.descriptor.status is Status.ACTIVE:
            raise RegistrationRefused(f"{wanted} is not deprecated", hint="it is active, and nothing has to be undone")
        done = mesh.activate(known.descriptor.id)
    if json:
        emit(_facts(done, wanted))
        return
    say(f"{wanted.key} is {done.descriptor.status} again, without a day and a successor")
    say("if its product.yaml says `status: deprecated`, remove that too: `meshport apply` would deprecate it again")


def retire(
    address: AddressArgument,
    successor: SuccessorOption = None,
    force: Annotated[
        list[str] | None,
        typer.Option(metavar="READER", help="A product that reads it and does not hinder; repeat it for several."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Retire nothing: show who reads it and what is left; 1 where it is read.")
    ] = False,
    yes: YesOption = False,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Retire a product, or one major line of it, for good, once its readers have left.

    The address then answers with its successor instead of a topic, and every start of a reader fails. The topics and their
    events stay. It is refused while a product reads it that --force does not name.

    --plan asks the brokers too: consumer groups that read it, declared or not, the records that are left in its topics, and the
    products downstream. It also names who was seen in the last 30 days; a group that read is a reader, although it does not run
    now. Nothing is changed.

    Examples:
        meshport retire shop/orders --plan
        meshport retire shop/orders --successor shop/purchases
        meshport retire shop/orders/events@1
    """
    asked = Address.parse(address)
    with open_registry(registry) as mesh:
        known = mesh.product(asked.of_product)
        line = _line(known, asked)
        if plan:
            lines = [each for each in known.bindings if line is None or each.address == line]
            _show_plan(mesh, known, lines, open_clusters(kafka_config, registry=registry), json=json)
            return
        _ask(f"Retire {line.key if line else known.descriptor.address.key} for good?", yes)
        body = Retirement(
            port=f"{line.port}@{line.major}" if line else None,
            successor=None if successor is None else Address.parse(successor),
            force=tuple(Address.parse(each) for each in force or ()),
        )
        done = mesh.retire(known.descriptor.id, body)
    if json:
        emit(_facts(done, line or asked))
        return
    say(f"{(line or asked).key} is retired; its topics and their events stay")
    if line is None:
        say(f"its files may be removed from the project; `meshport drop {asked.key}` deletes its topics too")
    else:
        say("its entry in product.yaml and its contract may be removed")


def _show_plan(
    mesh: Registry, product: RegisteredProduct, lines: list[Binding], kafka: KafkaClusters, *, json: bool
) -> None:
    """Show what a retirement would meet; end with 1 where something reads it."""
    address = product.descriptor.address
    declared = mesh.readers(lines[0].address if len(lines) == 1 else address)
    readers = list(observed_of(mesh, lines, declared, kafka))
    records = {str(each.address): records_left(each, kafka) for each in lines}
    downstream = sorted(each.address for each in mesh.lineage(address).nodes if each.distance > 0)
    lately = [each for each in _seen_in(mesh, lines) if not each.declared and each.state is ReaderState.SEEN]
    groups = [each for each in lately if each.reads_lately and each.kind is ReaderKind.GROUP]
    safe = not declared and not groups and not any(each.is_live for each in readers)
    if json:
        emit(
            {
                "address": str(address),
                "safe": safe,
                "readers": [each.as_dict() for each in readers],
                "undeclared": [each.model_dump(mode="json") for each in lately],
                "records_left": records,
                "downstream": [str(each) for each in downstream],
            }
        )
    else:
        if readers:
            table(["product", "group", "", "unread", "clients"], [reader_row(each) for each in readers])
        for each in lately:
            say(f"seen in the last {SILENT_AFTER.days} days: {seen_text(each)}")
        for name, count in records.items():
            say(f"{name} has {count} records left")
        say(f"downstream: {', '.join(each.key for each in downstream) or 'no product'}")
        say("nothing reads it: it is safe to retire" if safe else "it is read: move its readers first")
    if not safe:
        raise typer.Exit(FINDINGS)


def _seen_in(mesh: Registry, lines: Iterable[Binding]) -> Iterator[SeenReader]:
    for each in lines:
        if each.status is not Status.RETIRED:
            yield from (reader for line in mesh.seen_readers(each.address) for reader in line.readers)


def drop(
    address: ProductArgument,
    yes: YesOption = False,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Remove an unused product from the registry, and delete its topics.

    It is refused while a product reads it. While the product is not retired, it is also refused if a topic of it holds
    events, or if a consumer group reads one. The files of the project stay.

    Where the cluster runs an authorizer, the ACLs that `meshport apply` derived for the product's process go with it, and no
    others.

    Example: meshport drop shop/orders
    """
    wanted = _product(address, "`meshport retire` ends one line")
    with open_registry(registry) as mesh:
        known = mesh.product(wanted)
        if readers := mesh.readers(wanted):
            _say_readers(readers)
            raise RegistrationRefused(
                f"{wanted} has {_counted(len(readers), 'reader')}",
                findings=tuple(f"{each.address} reads {each.reads}" for each in readers),
                hint="move them to another product first, or retire them",
            )
        clusters = open_clusters(kafka_config, registry=registry)
        admins = ClusterAdmins(clusters)
        uses = _uses(mesh, known, admins)
        bound = {each.topic for each in known.bindings}
        retired = known.descriptor.status is Status.RETIRED
        hindering = [each for each in uses if not each.unused and each.topic in bound]
        for each in uses if hindering or not yes else ():
            say(str(each))
        if hindering and not retired:
            say(
                f"{wanted.key} is {known.descriptor.status} and in use. To end it: `meshport deprecate {wanted.key} --on DAY`; "
                f"when its readers have left, `meshport retire {wanted.key}`; then drop it"
            )
            raise typer.Exit(FINDINGS)
        groups = _processor_groups(known, admins)
        running = [group for group, admin in groups.items() if admin.groups.members(group)]
        if running:
            say(
                f"the processor of {wanted.key} runs (group {', '.join(running)}); stop it first: `meshport up` starts "
                "none for a product whose files are no longer in its project"
            )
            raise typer.Exit(FINDINGS)
        acls = AclRemoval(MeshAcls(mesh, clusters), known)
        for line in acls.lines():
            say(line)
        _ask(
            f"Drop {wanted.key}, and delete {_counted(len(uses) - len(_adopted(known)), 'topic')} with all their records?",
            yes,
        )
        mesh.drop(known.descriptor.id, Removal(unused=tuple(sorted(bound)) if not hindering else ()))
        adopted = _adopted(known)
        deleted = {each: admin for each, admin in uses.items() if each.topic not in adopted}
        for each, admin in deleted.items():
            admin.delete_topic(each.topic)
        for group, admin in groups.items():
            admin.groups.delete(group)
        acls.carry_out()
    if json:
        topics = [each.topic for each in deleted]
        emit({"address": str(wanted), "dropped": True, "topics": topics, "acls": [str(each) for each in acls.acls]})
        return
    for each in deleted:
        say(f"deleted topic {each.topic}")
    for topic in sorted(adopted):
        say(f"topic {topic} stays: the product had adopted it")
    say(f"{wanted.key} is dropped; where its files are still in a project, `meshport apply` registers it anew")


def _processor_groups(known: RegisteredProduct, admins: ClusterAdmins) -> dict[str, Admin]:
    """Return the consumer groups of a product's processor, each with the admin of its cluster."""
    bindings = known.bindings if known.descriptor.process else ()
    return {processor_group(each.topic): admins.to(each) for each in bindings}


def _uses(mesh: Registry, known: RegisteredProduct, admins: ClusterAdmins) -> dict[TopicUse, Admin]:
    """Return the use of every topic of a product, its internal ones and those of its generations included, by cluster."""
    found: dict[TopicUse, Admin] = {}
    for binding in sorted(known.bindings, key=lambda each: each.topic):
        admin = admins.to(binding)
        topics = {binding.topic, *(each.topic for each in binding.continues)}
        with suppress(NotRegistered, RegistrationRefused):  # a retired line lists none
            topics |= {each.topic for each in mesh.generations(binding.address).list().generations}
        adopted = _adopted(known)
        of_topic = ([topic] if topic in adopted else generation_topics(topic) for topic in sorted(topics))
        names = dict.fromkeys(name for each in of_topic for name in each)
        found |= {topic_use(name, admin): admin for name in admin.partitions_of(*names)}
    return found


def _adopted(known: RegisteredProduct) -> set[str]:
    """Return the topics that were there before the product, and stay when it goes."""
    return {port.topic for port in known.descriptor.output_ports if port.topic is not None}


def _product(address: str, otherwise: str) -> Address:
    wanted = Address.parse(address)
    if wanted != wanted.of_product:
        raise AddressError(f"{wanted} is a port of {wanted.of_product.key}", hint=f"name the product; {otherwise}")
    return wanted


def _line(known: RegisteredProduct, asked: Address) -> Address | None:
    """Return the line that an address names; None for the whole product."""
    if asked.port is None:
        return None
    lines = [each.address for each in known.bindings if each.address.port == asked.port]
    found = [each for each in lines if asked.major in {None, each.major}]
    if not found:
        names = ", ".join(each.address.key for each in known.bindings)
        raise NotRegistered(f"{asked} is not registered", hint=f"{asked.of_product.key} has {names}")
    if len(found) > 1:
        raise AddressError(f"{asked} has several lines", hint=f"name one: {', '.join(each.key for each in found)}")
    return found[0]


def _ask(question: str, yes: bool) -> None:
    """Ask on the terminal, and end the command unless the answer is yes."""
    if yes:
        return
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:  # the input has ended, as that of a script does
        agreed = False
        say("")
    if not agreed:
        say("nothing was done; --yes does it without asking")
        raise typer.Exit(FINDINGS)


def _facts(done: RegisteredProduct, address: Address) -> dict[str, object]:
    product = done.descriptor
    line = next((each for each in done.bindings if each.address == address), None)
    status, day, successor = (
        (line.status, line.deprecated_on, line.successor)
        if line
        else (product.status, product.deprecated_on, product.successor)
    )
    return {
        "address": str(address),
        "status": status.value,
        "deprecatedOn": None if day is None else day.isoformat(),
        "successor": None if successor is None else str(successor),
    }


def _say_readers(readers: tuple[Reader, ...]) -> None:
    for each in readers:
        say(f"{each.address.key} reads {each.reads.key} ({each.owner})")


def _counted(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
