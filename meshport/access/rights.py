"""Derives the ACLs of a product's process and of a reader: the least that they need.

Of an output port with the topic T, and an input port with the topic R:

- a writer may write to T;
- a processor may do that too, and whatever it has to with the topics of its own, whose names begin with T and a dot, as those of
  further generations do; its consumer group and transactional ids begin with `meshport.process.T`. It may delete what it has
  processed from the repartition topic of each generation. Kafka has one right for that and for deleting the topic, so that it is
  given for these topics by name, and for no changelog and no quarantine;
- a reader may read R, in consumer groups `<domain>.<product>` and `<domain>.<product>.<anything>`, and keep what these fail on in
  topics of their own, whose names begin with `meshport.reader.` and the group.

Each may describe `meshport-without-group` too, which holds nothing: without that right, a broker would report a denial every
second for each consumer that has no group.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from meshport.access.principals import login
from meshport.address import PROCESSOR_GROUPS, readers_prefix, repartition_name
from meshport.kafka.acls import Acl, Allow
from meshport.kafka.consumer import WITHOUT_GROUP

__all__ = ["processor_acls", "reader_acls", "writer_acls"]

_REDRIVE: Final = "meshport.redrive."
# Of topics that a processor or a reader makes for itself.
_OWN: Final = ("read", "write", "create", "alter", "describe-configs")


def writer_acls(principal: str, topics: Iterable[str]) -> frozenset[Acl]:
    """Return the ACLs of a principal that publishes to ports.

    Args:
        principal: `User:NAME`.
        topics: the ports' topics, one for each generation.
    """
    return _acls(principal, [Allow("topic", each, ("write", "describe-configs")) for each in topics])


def processor_acls(principal: str, topics: Iterable[str], generations: Iterable[str] = ()) -> frozenset[Acl]:
    """Return the ACLs of a principal that runs processors, beside what they read as `reader_acls` has it.

    Args:
        principal: `User:NAME`.
        topics: the topics of the first generation of the output ports; the names of all other generations, and of the
            processor's own topics, begin with theirs and a dot.
        generations: the topics of all generations of these ports.
    """
    own = [right for each in topics for right in _processing(each)]
    return _acls(principal, [*own, *(Allow("topic", repartition_name(each), ("delete",)) for each in generations)])


def reader_acls(principal: str, caller: str, topics: Iterable[str]) -> frozenset[Acl]:
    """Return the ACLs of a principal that reads ports, in consumer groups named after it.

    Args:
        principal: `User:NAME`.
        caller: the reader, `domain/product` or a person's name; its groups are `domain.product` and `domain.product.ANY`.
        topics: the ports' topics, one for each generation; without any, there are no ACLs.
    """
    group = login(caller)
    rights = [Allow("topic", each, ("read", "describe-configs")) for each in topics]
    groups = [Allow("group", group, ("read",)), Allow("group", f"{group}.", ("read",), "prefixed")]
    own = Allow("topic", readers_prefix(group), _OWN, "prefixed")
    return _acls(principal, [*rights, *groups, own] if rights else [])


def _processing(topic: str) -> Iterator[Allow]:
    yield Allow("topic", topic, ("read", "write", "describe-configs"))
    yield Allow("topic", f"{topic}.", _OWN, "prefixed")
    yield Allow("group", f"{PROCESSOR_GROUPS}{topic}", ("read",))
    yield Allow("group", f"{PROCESSOR_GROUPS}{topic}.", ("read",), "prefixed")
    for begin in (PROCESSOR_GROUPS, _REDRIVE):
        yield Allow("transactional-id", f"{begin}{topic}", ("write",))
        yield Allow("transactional-id", f"{begin}{topic}.", ("write",), "prefixed")


def _acls(principal: str, rights: Sequence[Allow]) -> frozenset[Acl]:
    every = [*rights, Allow("group", WITHOUT_GROUP, ("describe",))] if rights else []
    return frozenset(acl for each in every for acl in each.to(principal))
