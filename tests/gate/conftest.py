"""Fixtures of the gate's tests: the published schemas of the formats that its verdicts are rendered in."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema  # type: ignore[import-untyped]  # no stubs
import pytest
import xmlschema

from meshport.errors import BrokerUnavailable
from meshport.local.jars import ensure_jars, read_lock

LOCK = Path(__file__).with_name("schemas.lock.json")
# The model's jar gives Ant's schema a namespace, which no report has.
JUNIT_NAMESPACE = "urn:junit.baev.github.com"


@pytest.fixture(scope="session")
def schema_jars(kafka_cache: Path) -> tuple[Path, ...]:
    """The jars in which the schemas of SARIF and JUnit are published, checked against the lock beside this file."""
    try:
        return ensure_jars(kafka_cache / "schemas", read_lock(LOCK))
    except BrokerUnavailable as error:
        if os.environ.get("MESHPORT_REQUIRE_KAFKA") == "1":  # whoever asks for everything has the network
            raise
        pytest.skip(f"the published schemas are not to be had: {error.message}")


@pytest.fixture(scope="session")
def check_sarif(schema_jars: tuple[Path, ...]) -> Callable[[str], dict[str, Any]]:
    """Return a function that validates text against the OASIS schema of SARIF 2.1.0, and returns its one run or fails."""
    schema = json.loads(_member(schema_jars[0], "schema/sarif-schema-2.1.0.json"))
    # `date-time` apart, the only format that the schema asks for is `uri`; both are checked where a checker is installed.
    validator = jsonschema.Draft7Validator(schema, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)

    def check(text: str) -> dict[str, Any]:
        log = json.loads(text, parse_constant=_no_json)
        validator.validate(log)
        (run,) = log["runs"]
        return dict(run)

    return check


@pytest.fixture(scope="session")
def check_junit(schema_jars: tuple[Path, ...]) -> Callable[[str], ET.Element]:
    """Return a function that validates text against Ant's schema of JUnit reports, and returns its root or fails."""
    schema = xmlschema.XMLSchema(_member(schema_jars[1], "xsd/junit.xsd"))

    def check(text: str) -> ET.Element:
        spaced = ET.fromstring(text)
        for element in spaced.iter():
            element.tag = f"{{{JUNIT_NAMESPACE}}}{element.tag}"
        schema.validate(spaced)
        return ET.fromstring(text)

    return check


def _member(jar: Path, name: str) -> str:
    with zipfile.ZipFile(jar) as archive:
        return archive.read(name).decode("utf-8")


def _no_json(word: str) -> None:
    raise ValueError(f"{word} is no JSON")
