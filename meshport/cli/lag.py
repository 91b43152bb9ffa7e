"""`meshport lag`: how far consumer groups are behind."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import groupby
from time import sleep
from typing import Annotated, Any, Final

import typer

from meshport.address import Address
from meshport.cli.completion import addresses
from meshport.cli.output import NO_ANSWER, emit, people, say, table
from meshport.cli.session import JsonOption, KafkaConfigOption, RegistryOption, open_clusters, open_registry
from meshport.errors import BrokerUnavailable, NotRegistered, TopicError
from meshport.kafka.clusters import KafkaClusters
from meshport.kafka.config import KafkaConfig
from meshport.observe.lag import GroupLags, PartitionLag, total_of
from meshport.observe.products import registered_products
from meshport.process.wire.plan import processor_group
from meshport.registry import Registry

_PAUSE_S: Final = 2.0
_COLUMNS: Final = ["group", "topic", "partition", "committed", "end", "events", "oldest waits for", "held by"]
_SUMMED: Final = ["group", "topic", "partitions", "events", "oldest waits for", "held by"]


@dataclass
class _Scope:
    """What a command looks at.

    Attributes:
        topics: the topics of each cluster whose readers are shown; None for every topic.
        groups: the groups of each cluster that are shown; None for every group of the topics.
        earlier: topics of earlier generations: a group is shown there while a member of it reads them.
        addresses: the ports by topic.
        processors: the products by the group of their processor.
    """

    topics: dict[KafkaConfig, set[str]] = field(default_factory=dict)
    groups: dict[KafkaConfig, set[str]] = field(default_factory=dict)
    earlier: set[str] = field(default_factory=set)
    addresses: dict[str, Address] = field(default_factory=dict)
    processors: dict[str, Address] = field(default_factory=dict)

    def add(self, registry: Registry, kafka: KafkaClusters) -> None:
        """Take up the names of the whole mesh."""
        for product in registered_products(registry):
            for binding in product.bindings:
                config = kafka.to(binding)
                earlier = {each.topic for each in binding.continues}
                self.topics.setdefault(config, set()).update({binding.topic, *earlier})
                self.earlier |= earlier
                self.addresses[binding.topic] = binding.address
                if product.is_readable and product.descriptor.process is not None:
                    self.processors[processor_group(binding.topic)] = product.descriptor.address

    def shows(self, lag: PartitionLag) -> bool:
        return lag.partition.topic not in self.earlier or lag.member is not None


def lag(
    address: Annotated[
        str | None,
        typer.Argument(
            metavar="[ADDRESS]",
            help="The port whose readers are shown; by default every port.",
            autocompletion=addresses,
        ),
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="GROUP", help="Show this consumer group, whatever it reads.")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show it again every two seconds, until interrupted.")] = False,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show how far consumer groups are behind: in events, and in time.

    Every group is shown, whatever software it runs; of a derived product also its processor's. The time is how long the oldest
    event that is not read has been in the log. Events are counted where they are few; of more, a number of offsets is shown as
    `<=`, since these also count the markers of transactions. A group that has committed nothing yet shows `-`. What a group has
    read and not committed counts as not read.

    Without ADDRESS and --group, the groups of the whole mesh are summed up by topic. --json has every partition. Where one of
    several clusters does not answer, the groups of the others are shown, and the command ends with 3.

    Examples:
        meshport lag shop/orders
        meshport lag --group billing --watch
    """
    if address is not None and group is not None:
        raise typer.BadParameter("give an ADDRESS or --group, since a group may read many ports", param_hint="--group")
    kafka = open_clusters(kafka_config, registry=registry)
    with ExitStack() as opened:
        scope = _scope(registry, kafka, address, group)
        readers, away = _opened({*scope.topics, *scope.groups}, opened)
        while True:
            found = [each for config, lags in readers.items() for each in _look(lags, config, scope, group)]
            if group is not None and not found and not watch:
                raise TopicError(
                    f"no consumer group {group} has read anything, or has members",
                    hint="`meshport lag` lists the groups of the mesh; a group's offsets end a week after its last member left",
                )
            if json:
                for each in found:
                    emit(_document(each, scope))
            else:
                _show(found, scope, whole=address is None and group is None, watch=watch)
            if not watch:
                break
            sleep(_PAUSE_S)
    if away:
        raise typer.Exit(NO_ANSWER)


def _opened(clusters: Collection[KafkaConfig], opened: ExitStack) -> tuple[dict[KafkaConfig, GroupLags], bool]:
    """Return what measures each cluster that answers, and whether one of several does not."""
    readers, away = dict[KafkaConfig, GroupLags](), False
    for each in clusters:
        try:
            readers[each] = opened.enter_context(GroupLags(each))
        except BrokerUnavailable as error:
            if len(clusters) == 1:
                raise
            away = True
            say(f"the groups of a cluster are not shown: {error.message}")
    return readers, away


def _scope(registry: str | None, kafka: KafkaClusters, address: str | None, group: str | None) -> _Scope:
    scope = _Scope()
    with open_registry(registry) as mesh:
        if address is None:
            scope.add(mesh, kafka)
            if group is not None:
                scope.groups = {config: {group} for config in scope.topics or _named(kafka)}
                scope.topics.clear()
                scope.earlier.clear()
            return scope
        binding = mesh.resolve(Address.parse(address))
        config = kafka.to(binding)
        scope.earlier = {each.topic for each in binding.continues}
        scope.topics[config] = {binding.topic, *scope.earlier}
        scope.addresses[binding.topic] = binding.address
        product = mesh.product(binding.address.of_product).descriptor
        if product.process is not None:
            scope.groups[config] = {processor_group(binding.topic)}
            scope.processors[processor_group(binding.topic)] = product.address
            for each in product.input_ports:
                try:
                    read = mesh.resolve(each.address)
                except NotRegistered:
                    continue
                scope.addresses[read.topic] = read.address
        for reader in mesh.readers(binding.address):
            try:
                bindings = mesh.product(reader.address).bindings
            except NotRegistered:
                continue
            scope.processors |= {processor_group(one.topic): reader.address for one in bindings}
    return scope


def _named(kafka: KafkaClusters) -> list[KafkaConfig]:
    return [each for each in (kafka.default, *kafka.named.values()) if each.bootstrap_servers]


def _look(lags: GroupLags, config: KafkaConfig, scope: _Scope, group: str | None) -> Iterator[PartitionLag]:
    if group is not None:
        yield from lags.look(group=group)
        return
    own = scope.groups.get(config, set())
    for name in sorted(own):
        yield from lags.look(group=name)
    yield from (each for each in lags.look(topics=scope.topics[config]) if each.group not in own and scope.shows(each))


def _document(lag: PartitionLag, scope: _Scope) -> Mapping[str, Any]:
    address, processor = scope.addresses.get(lag.partition.topic), scope.processors.get(lag.group)
    return {
        **lag.as_dict(),
        "address": None if address is None else str(address),
        "processor": None if processor is None else str(processor),
    }


def _show(found: list[PartitionLag], scope: _Scope, *, whole: bool, watch: bool) -> None:
    if watch and people().is_terminal:
        people().clear()
    if watch:
        say(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    if not found:
        say("no consumer group reads it")
        return
    if whole:
        table(_SUMMED, _summed(found))
    else:
        table(_COLUMNS, [_row(each) for each in found])
    for each in found:
        if each.removed:
            say(
                f"{each.group}: {each.removed} offsets of {each.partition} were removed by retention before it read them"
            )
        if each.unread is not None and each.unread.undecided:
            say(
                f"{each.partition}: an open transaction hides the last {each.unread.undecided} offsets from every reader"
            )
    for group in dict.fromkeys(each.group for each in found):
        if group in scope.processors:
            say(f"{group} is the processor of {scope.processors[group]}")


def _summed(found: Iterable[PartitionLag]) -> list[list[str]]:
    """Return a row for each group and topic."""
    rows = []
    for (group, topic), each in groupby(found, key=lambda lag: (lag.group, lag.partition.topic)):
        lags = list(each)
        total = total_of(lags)
        known = [lag for lag in lags if lag.unread is not None]
        seconds = [lag.seconds for lag in known if lag.seconds is not None]
        holders = {lag.member for lag in lags if lag.member is not None}
        rows.append(
            [
                group,
                topic,
                str(len(lags)),
                _events(total.events, total.at_most) if known else "-",
                _span(max(seconds)) if seconds else "-",
                _holders(len(holders), lags[0].state),
            ]
        )
    return rows


def _row(lag: PartitionLag) -> list[str]:
    return [
        lag.group,
        lag.partition.topic,
        str(lag.partition.partition),
        "-" if lag.committed is None else str(lag.committed),
        str(lag.end),
        "-" if lag.unread is None else _events(lag.unread.events, lag.unread.at_most),
        "-" if lag.seconds is None else _span(lag.seconds),
        str(lag.member) if lag.member is not None else _holders(0, lag.state),
    ]


def _events(count: int, at_most: bool) -> str:
    return f"<= {count}" if at_most else str(count)


def _holders(count: int, state: str) -> str:
    if count:
        return f"{count} member{'s' if count > 1 else ''}"
    return "no member" if state in {"empty", "stable", "dead"} else f"no member ({state.replace('_', ' ')})"


def _span(seconds: float) -> str:
    """Return a time span with its two largest units: `3 d 4 h`, `12 s`, `0`."""
    left = round(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count} {unit}")
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"
