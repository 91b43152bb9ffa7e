"""Drift of ACLs: what is missing, what is unexpected, and what is none of the mesh's."""

from __future__ import annotations

import pytest

from meshport.access import Acl, Principals, compare_acls, login, processor_acls, reader_acls, writer_acls
from meshport.access.enforcement import summary

TOPIC = "player.plays.events.v1"
PLAYS = "User:player.plays"
WANTED = dict.fromkeys(
    [*writer_acls(PLAYS, [TOPIC]), *reader_acls("User:billing.invoices", "billing/invoices", [TOPIC])], "a test"
)
OPERATOR = [Acl("User:operator", "all", "cluster", "kafka-cluster"), Acl("User:operator", "all", "topic", "*")]


def test_nothing_drifts_where_the_cluster_has_what_is_derived() -> None:
    """ACLs of other applications, and those of who may change ACLs anyway, are no drift."""
    others = [
        Acl("User:else", "write", "topic", "elsewhere"),
        Acl("User:else", "read", "group", "billing.invoices-else"),
        Acl("User:else", "read", "topic", "player.plays.events.v10"),
        Acl("User:else", "describe", "cluster", "kafka-cluster"),
    ]
    assert not compare_acls(WANTED, [*WANTED, *OPERATOR, *others], [TOPIC])


def test_what_is_not_there_is_missing_and_says_what_it_is_for() -> None:
    """A derived ACL that the cluster does not have is missing, although a wider one allows it."""
    gone = Acl(PLAYS, "write", "topic", TOPIC)
    found = compare_acls(
        WANTED, [*(set(WANTED) - {gone}), Acl("User:operator", "all", "topic", "*"), *OPERATOR], [TOPIC]
    )
    assert (found.missing, found.unexpected) == ({gone: "a test"}, ())


@pytest.mark.parametrize(
    "acl",
    [
        Acl("User:else", "read", "topic", TOPIC),
        Acl("User:else", "read", "topic", f"{TOPIC}.changelog"),
        Acl("User:else", "read", "topic", "*"),
        Acl("User:*", "read", "topic", "player.", "prefixed"),
        Acl("User:else", "write", "topic", f"{TOPIC}.g", "prefixed"),
        Acl("User:else", "read", "group", "billing.invoices"),
        Acl("User:else", "read", "group", "billing.invoices.dashboard"),
        Acl("User:else", "read", "group", "bill", "prefixed"),
        Acl(PLAYS, "write", "topic", "elsewhere"),
        Acl(PLAYS, "alter", "cluster", "kafka-cluster", permission="deny"),
        Acl("User:billing.invoices", "write", "topic", TOPIC, permission="deny"),
        Acl("User:billing.invoices", "read", "topic", TOPIC, host="10.0.0.1"),
    ],
    ids=str,
)
def test_what_reaches_into_the_mesh_and_follows_from_nothing_is_unexpected(acl: Acl) -> None:
    """By its name, by a wider pattern, or by its principal; a deny too, and an ACL for one host only."""
    found = compare_acls(WANTED, [*WANTED, *OPERATOR, acl], [TOPIC])
    assert (found.missing, found.unexpected) == ({}, (acl,))


def test_each_acl_has_a_text_of_its_own() -> None:
    """`--revoke` names an ACL by its text, so that no two have the same."""
    acls = [
        Acl(principal, operation, resource, name, pattern, permission, host)
        for principal in ("User:a", "User:a b")
        for operation in ("read", "write")
        for resource in ("topic", "transactional-id")
        for name in ("x", "x.", "x...")
        for pattern in ("literal", "prefixed")
        for permission in ("allow", "deny")
        for host in ("*", "10.0.0.1")
    ]  # fmt: skip
    assert len({str(each) for each in acls}) == len(acls)


def test_the_principal_of_a_product_or_a_person() -> None:
    """A login is the name, with a dot for the slash; `[principals]` gives another."""
    principals = Principals({"billing/invoices": "User:CN=billing"})
    assert principals.of("billing/invoices") == "User:CN=billing"
    assert principals.of("player/plays") == PLAYS
    assert principals.of("ann@example.org") == "User:ann@example.org"
    assert login("player/plays") == "player.plays"


def test_a_processor_of_a_name_that_begins_alike_is_another() -> None:
    """What a processor may do with topics, groups and ids of its own ends before the next name."""
    acls = processor_acls("User:a", ["listening.sessions.events.v1"])
    assert not [each for each in acls if each.covers(each.resource, "listening.sessions.events.v10")]
    assert not [each for each in acls if each.covers(each.resource, "meshport.process.listening.sessions.events.v10")]
    assert [each for each in acls if each.covers("topic", "listening.sessions.events.v1.g2.changelog")]


def test_a_processor_deletes_from_repartition_topics_alone() -> None:
    """The right to delete is for the repartition topic of each generation by name: no pattern, no changelog, no quarantine."""
    acls = processor_acls("User:a", ["a.b.c.v1"], ["a.b.c.v1", "a.b.c.v1.g2"])
    assert {(each.name, each.pattern) for each in acls if each.operation == "delete"} == {
        ("a.b.c.v1.rekey", "literal"),
        ("a.b.c.v1.g2.rekey", "literal"),
    }


def test_lines_for_people_have_all_operations_of_a_resource() -> None:
    """One line for each principal and resource."""
    assert summary(writer_acls(PLAYS, [TOPIC])) == [
        f"{PLAYS} describe group meshport-without-group",
        f"{PLAYS} describe-configs, write topic {TOPIC}",
    ]
