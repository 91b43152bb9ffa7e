"""Mesh addresses, and the names of topics and subjects that are made from them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import meshport
from meshport.address import (
    Address,
    generation_topics,
    late_name,
    quarantine_name,
    subject_name,
    topic_name,
)
from meshport.errors import AddressError

WORDS = st.from_regex(r"[a-z][a-z0-9]{0,9}(-[a-z0-9]{1,9}){0,3}", fullmatch=True)
FULL = st.builds(Address, WORDS, WORDS, WORDS, st.integers(1, 999_999_999))
ADDRESSES = FULL | st.builds(Address, WORDS, WORDS, st.none() | WORDS)


@given(ADDRESSES)
def test_an_address_is_read_as_it_is_written(address: Address) -> None:
    """An address is parsed from its own text, with or without the scheme and surrounding blanks."""
    assert Address.parse(str(address)) == address
    assert Address.parse(address.key) == address
    assert Address.parse(f"  {address}\n") == address
    assert str(address) == f"mesh://{address.key}"


@given(st.text() | st.from_regex(r"[a-z/@:\-A-Z0-9._ ]{0,40}"))
def test_any_text_is_an_address_or_refused_with_a_hint(text: str) -> None:
    """Any text is either parsed as an address whose text is the same, or refused by AddressError with a hint."""
    try:
        address = Address.parse(text)
    except AddressError as error:
        assert error.hint  # noqa: PT017 - most texts are refused, some are not
    else:
        assert str(address).removeprefix("mesh://") == text.strip().removeprefix("mesh://")


@given(ADDRESSES)
def test_a_product_is_the_address_without_its_port(address: Address) -> None:
    """`of_product` drops port and major, and `at` adds them."""
    product = address.of_product
    assert (product.domain, product.product, product.port, product.major) == (
        address.domain,
        address.product,
        None,
        None,
    )
    if address.port and address.major:
        assert product.at(address.port, address.major) == address


@pytest.mark.parametrize(
    ("text", "found", "hint"),
    [
        ("", "'' is no mesh address", "an address is mesh://<domain>/<product>[/<port>[@<major>]]"),
        ("player", "'player' is no mesh address", "an address is mesh://"),
        ("player/plays/x/y", "no mesh address", "an address is mesh://"),
        ("player.plays.events.v1", "no mesh address", "an address is mesh://"),
        ("player/plays/", "no mesh address", "did you mean mesh://player/plays?"),
        ("player//plays", "no mesh address", "did you mean mesh://player/plays?"),
        ("mesh:/player/plays", "no mesh address", "did you mean mesh://player/plays?"),
        ("MESH://player/plays", "no mesh address", "did you mean mesh://player/plays?"),
        ("http://player/plays/events@1", "no mesh address", "did you mean mesh://player/plays/events@1?"),
        ("Player/plays", "the domain 'Player'", "did you mean 'player'?"),
        ("player/artistRoyalties", "the product 'artistRoyalties'", "did you mean 'artist-royalties'?"),
        ("player/my_plays", "the product 'my_plays'", "did you mean 'my-plays'?"),
        ("player/plays/My Events", "the port 'My Events'", "did you mean 'my-events'?"),
        ("1a/plays", "the domain '1a'", "lower-case letters, digits and single hyphens"),
        ("player/pläys", "the product 'pläys'", "did you mean 'pl-ys'?"),
        ("player/plays@2", "player/plays@2 gives a major version without its port", "player/plays/<port>@2"),
        ("player/plays/events@", "'' in 'player/plays/events@' is no major version", "@<major>"),
        ("player/plays/events@0", "'0' in", "@<major>"),
        ("player/plays/events@v1", "'v1' in", "@<major>"),
        ("player/plays/events@1@2", "'1@2' in", "@<major>"),
        ("player/plays/events@1000000000", "'1000000000' in", "@<major>"),
    ],
)
def test_a_refusal_says_what_would_be_right(text: str, found: str, hint: str) -> None:
    """A refusal names the text, its fault, and the address, the word or the form that would be right."""
    with pytest.raises(AddressError) as refused:
        Address.parse(text)
    assert found in refused.value.message
    assert hint in str(refused.value.hint)


def test_an_address_is_no_longer_than_its_topic_may_be() -> None:
    """An address has at most 200 characters, so that the longest topic made of it stays below Kafka's 249."""
    longest = Address("a" * 60, "b" * 60, "c" * 60, 1234567)
    fitting = Address("a" * (60 + 200 - len(str(longest))), "b" * 60, "c" * 60, 1234567)
    assert len(str(fitting)) == 200
    with pytest.raises(AddressError, match="201 characters"):
        Address(fitting.domain + "a", fitting.product, fitting.port, fitting.major)
    topic = topic_name(fitting, generation=999)
    assert max(map(len, generation_topics(topic))) <= 249


@pytest.mark.parametrize("major", [0, -1, 10**9])
def test_a_major_is_counted_from_one(major: int) -> None:
    """An address that is made in code may have the same majors as one that is parsed."""
    with pytest.raises(AddressError, match="no major version"):
        Address("player", "plays", "events", major)


@given(st.lists(st.tuples(FULL, st.integers(1, 1000)), min_size=2, max_size=20, unique=True))
def test_topics_are_unique_per_address_and_generation(pairs: list[tuple[Address, int]]) -> None:
    """No two addresses, no two generations of an address and no quarantine or late topic share a name."""
    topics = [topic_name(address, generation=generation) for address, generation in pairs]
    beside = [make(topic) for topic in topics for make in (quarantine_name, late_name, subject_name_like)]
    assert len(set(topics + beside)) == len(topics) * 4
    assert all(re.fullmatch(r"[a-zA-Z0-9._-]{1,249}", topic) for topic in topics + beside), "Kafka takes these names"
    assert not any("_" in topic for topic in topics), "a dot and an underscore collide in Kafka's metrics"


def subject_name_like(topic: str) -> str:
    """A subject's name is made from its topic's and is never a topic's name itself."""
    return f"{topic}-value"


@given(FULL)
def test_generations_share_a_subject(address: Address) -> None:
    """The subject is that of the first generation's topic, as Confluent's TopicNameStrategy makes it."""
    assert subject_name(address) == f"{topic_name(address)}-value"
    assert topic_name(address, generation=1) == f"{address.domain}.{address.product}.{address.port}.v{address.major}"
    assert topic_name(address, generation=2) == f"{topic_name(address)}.g2"


@pytest.mark.parametrize("text", ["player/plays", "player/plays/events"])
def test_an_address_without_its_major_has_no_topic(text: str) -> None:
    """An address without a port or a major has no topic name; it has to be resolved."""
    with pytest.raises(AddressError, match="no port and major") as refused:
        topic_name(Address.parse(text))
    assert refused.value.hint == "resolve it first"


def test_generations_are_counted_from_one() -> None:
    """Generations are counted from 1; a generation of 0 would have the topic of the first one."""
    with pytest.raises(ValueError, match="from 1"):
        topic_name(Address("a", "b", "c", 1), generation=0)


def test_only_one_module_makes_topic_names() -> None:
    """No module of the library or the service but `meshport.address` builds a name with `.v<major>` or `.g<generation>`."""
    root = Path(meshport.__file__).parents[1]
    makers = set()
    for file in [*root.glob("meshport/**/*.py"), *root.glob("registry/**/*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr) and any(
                isinstance(before, ast.Constant)
                and str(before.value).endswith((".v", ".g"))
                and isinstance(after, ast.FormattedValue)
                for before, after in zip(node.values, node.values[1:], strict=False)
            ):
                makers.add(file.relative_to(root).as_posix())
    # A port's CloudEvents type has the same form by default, and so has its contract's file: neither is a topic.
    assert makers == {"meshport/address.py", "meshport/product/descriptor.py", "meshport/project/project.py"}
