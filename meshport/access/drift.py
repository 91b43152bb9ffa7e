"""Drift: how the ACLs of a cluster differ from those that the mesh's products and grants derive.

Unexpected is an ACL that reaches into the mesh and follows from nothing: on a topic of a port or one of its processor's, on a
group or transactional id of a processor, on a reader's groups, or of a principal of a product on anything. ACLs of other
applications of the cluster are none of the mesh's. Neither are those of its administrators: who may alter the cluster can
give itself any right.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from meshport.kafka.acls import ANY_NAME, Acl
from meshport.kafka.consumer import WITHOUT_GROUP

__all__ = ["Drift", "compare_acls"]


@dataclass(frozen=True, slots=True)
class Drift:
    """The difference between the ACLs of a cluster and those that are derived.

    Attributes:
        missing: ACLs that are derived and are not there, each with what it is for.
        unexpected: ACLs that are there and follow from nothing.
    """

    missing: Mapping[Acl, str] = field(default_factory=dict)
    unexpected: tuple[Acl, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected)


def compare_acls(wanted: Mapping[Acl, str], present: Collection[Acl], topics: Iterable[str] = ()) -> Drift:
    """Return how the ACLs of a cluster differ from those that are derived.

    Args:
        wanted: the derived ACLs, each with what it is for.
        present: the ACLs of the cluster.
        topics: the topics of the mesh's ports on this cluster, of their first generations.
    """
    missing = {acl: wanted[acl] for acl in sorted(wanted) if acl not in present}
    administrators = {each.principal for each in present if _administers(each)}
    principals = {each.principal for each in wanted}
    names = _Names(wanted, topics)
    unexpected = (
        each
        for each in sorted(present)
        if each not in wanted
        and each.principal not in administrators
        and (each.principal in principals or names.reached_by(each))
    )
    return Drift(missing, tuple(unexpected))


class _Names:
    """The names of the mesh's resources on one cluster."""

    def __init__(self, wanted: Iterable[Acl], topics: Iterable[str]) -> None:
        topics = tuple(topics)
        self._whole: dict[str, set[str]] = defaultdict(set, topic={*topics})
        self._begin: dict[str, set[str]] = defaultdict(set, topic={f"{each}." for each in topics})
        for each in wanted:
            if each.name == WITHOUT_GROUP:
                continue  # principals of every mesh on the cluster may describe it
            (self._whole if each.pattern == "literal" else self._begin)[each.resource].add(each.name)

    def reached_by(self, acl: Acl) -> bool:
        """Return whether an ACL is about one of these names."""
        whole, begin = self._whole[acl.resource], self._begin[acl.resource]
        if acl.pattern == "literal" and acl.name == ANY_NAME:
            return bool(whole or begin)
        if acl.name in whole or any(acl.name.startswith(each) for each in begin):
            return True
        return acl.pattern == "prefixed" and any(each.startswith(acl.name) for each in (*whole, *begin))


def _administers(acl: Acl) -> bool:
    return acl.resource == "cluster" and acl.operation in {"all", "alter"} and acl.permission == "allow"
