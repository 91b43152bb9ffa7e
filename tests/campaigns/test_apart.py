"""The judgement of two campaigns: what differs between two revisions, and what a restored registry lacks."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.campaigns import versions
from tests.campaigns.versions import Difference, difference
from tests.registry.backups import Versions, differences


def case(text: str, name: str = "test_a") -> ET.Element:
    """Return a test case of a JUnit report that failed with a text."""
    made = ET.Element("testcase", classname="tests.registry.test_client", name=name)
    ET.SubElement(made, "failure", message=text.splitlines()[0]).text = text
    return made


def test_a_failure_that_names_the_versions_has_its_reason() -> None:
    """A call that the other registry refuses by name is as it should be; any other failure has no reason."""
    older = "RegistryUnavailable: x\nhint: the registry runs Meshport 0.1.0, which is older than this client (0.2.0)"
    assert difference(case(older)) == Difference(
        "test_client::test_a",
        "RegistryUnavailable: x",
        "the client says so: the registry runs Meshport 0.1.0, which is older",
    )
    assert difference(case("AssertionError: assert 1 == 2")) == Difference(
        "test_client::test_a", "AssertionError: assert 1 == 2", None
    )
    assert difference(ET.Element("testcase", name="test_b")) is None


def test_a_difference_that_is_meant_has_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern of the test's name gives the reason, whatever the error is."""
    monkeypatch.setattr(versions, "KNOWN", {"test_client::test_a*": "it was mended since"})
    found = difference(case("AssertionError"))
    assert found is not None
    assert found.reason == "it was mended since"


def test_what_a_restored_registry_lacks_is_found() -> None:
    """A version with another id or text, a gap among the ids, and a registration that is missing, are each reported."""
    live: Versions = {("a", 1): (1, "x"), ("a", 2): (2, "y"), ("b", 1): (3, "z")}
    acknowledged = {0: 1, 1: 2}
    assert list(differences(live, live, acknowledged)) == []
    first = {key: value for key, value in live.items() if value[0] < 3}
    assert list(differences(first, live, acknowledged)) == []
    assert "versions differ" in next(differences({**first, ("a", 2): (2, "other")}, live, acknowledged))
    assert "have gaps" in next(differences({("a", 1): (1, "x"), ("b", 1): (3, "z")}, live, {}))
    assert list(differences({("a", 1): (1, "x")}, live, acknowledged)) == [
        "1 schemas are missing that were acknowledged before"
    ]
