"""The gate on a git repository of many contracts: the whole command, and the engine against a deep history.

The repository is made anew: N products with one contract each, some of them reading others, a shared type, committed on
`main`; then three contracts change, uncommitted. `first` is the first `meshport gate check --against main` after that,
`again` the second, each a process of its own with its imports. Nothing is cached between the two by Meshport itself.
`deep` is every one of 1,000 contracts changed, against 20 versions of each in the history.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.bench.figures import Figure

SIZES: Final = (10, 100, 1_000, 10_000)
CHANGED: Final = 3
DEEP: Final = 1_000
VERSIONS: Final = 20
_READS_EVERY: Final = 5  # each fifth product is built from another


def figures() -> Iterator[Figure]:
    """How long the check takes, by the number of contracts, and against a deep history."""
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            make_repository(root, size)
            for number in range(CHANGED):
                change_contract(root, number * size // CHANGED, version=1)
            first = _check(root)
            again = min(_check(root) for _ in range(3))
            limits = (3.0, 1.0) if size == 1_000 else (None, None)
            for word, seconds, limit in (("first", first, limits[0]), ("again", again, limits[1])):
                name = f"gate: {CHANGED} of {size} contracts changed, against main, {word}"
                yield Figure(name, seconds, "s", "limit" if limit else None, limit)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_repository(root, DEEP, versions=VERSIONS)
        for number in range(DEEP):
            change_contract(root, number, version=VERSIONS)
        yield Figure(f"gate: all of {DEEP} contracts, {VERSIONS} versions each", _check(root), "s", None, None)


def make_repository(root: Path, size: int, *, versions: int = 1) -> None:
    """A mesh project of that many contracts in a git repository, committed on `main`.

    Args:
        root: an empty folder.
        size: products, each with one port.
        versions: commits in which every contract gets one more field.
    """
    for name in ("producers", "processors", "schemas/common"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (root / "schemas/common/country.avsc").write_text(
        json.dumps({"type": "enum", "name": "Country", "namespace": "common", "symbols": ["ZZ", "DE"], "default": "ZZ"})
    )
    for number in range(size):
        file = root / descriptor_path(number)
        file.parent.mkdir(parents=True)
        file.write_text(_descriptor(number))
    git(root, "init", "-q", "-b", "main")
    for version in range(versions):
        for number in range(size):
            change_contract(root, number, version=version)
        git(root, "add", "-A")
        git(root, "commit", "-q", "-m", f"version {version + 1}")


def change_contract(root: Path, number: int, *, version: int) -> None:
    """Write a contract with as many optional fields as its version has."""
    file = root / f"schemas/{_domain(number)}/p{number}.events.avsc"
    file.parent.mkdir(parents=True, exist_ok=True)
    fields: list[dict[str, object]] = [
        {"name": "id", "type": "string", "doc": "Which."},
        {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}, "doc": "When, UTC."},
        {"name": "cents", "type": "long", "doc": "How much."},
        {"name": "note", "type": ["null", "string"], "default": None, "doc": "Anything else."},
    ]
    if number % 10 == 0:
        fields.append({"name": "country", "type": "common.Country", "doc": "Where."})
    fields += ({"name": f"f{each}", "type": "int", "default": 0, "doc": "More."} for each in range(version))
    schema = {
        "type": "record",
        "name": f"P{number}",
        "namespace": f"domain{number % 40}",
        "doc": "An event.",
        "fields": fields,
    }
    file.write_text(json.dumps(schema, indent=2))


def descriptor_path(number: int) -> str:
    """Where a product's descriptor lies."""
    kind = "processors" if _reads(number) is not None else "producers"
    return f"{kind}/{_domain(number)}/p{number}/product.yaml"


def git(root: Path, *arguments: str) -> None:
    """Run git in a repository under a name of its own, whatever this machine has configured."""
    who = ("-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "commit.gpgSign=false")
    subprocess.run(["git", *who, "-c", "gc.auto=0", *arguments], cwd=root, check=True, capture_output=True)


def _descriptor(number: int) -> str:
    source = _reads(number)
    inputs = (
        "" if source is None else f"inputPorts:\n  - {{address: {_domain(source)}/p{source}, fields: [id, cents]}}\n"
    )
    return (
        f"address: mesh://{_domain(number)}/p{number}\n"
        f"id: {uuid.UUID(int=number + 1)}\n"
        f"archetype: {'source-aligned' if source is None else 'aggregate'}\n"
        f"displayName: Product {number}\n"
        "description: >\n  One event for each thing that happened, as long as a description is in practice, since that\n"
        "  is text which has to be read before anything can be told of a product.\n"
        f"owner: team-{number % 50}\ncontact: team-{number % 50}@example.com\ntags: [bench]\nclassification: internal\n"
        f"{inputs}outputPorts:\n  - name: events\n    key: id\n    time: at\n    partitions: 4\n    retention: 365d\n"
        "slaProperties:\n  - {property: timeliness, value: 1, unit: m}\n"
    )


def _domain(number: int) -> str:
    return f"domain-{number % 40}"


def _reads(number: int) -> int | None:
    return number - 1 if number % _READS_EVERY == _READS_EVERY - 1 else None


def _check(root: Path) -> float:
    """Seconds of one whole command."""
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "meshport", "gate", "check", "--against", "main", "--format", "json"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - begun
    if done.returncode != 0:
        raise RuntimeError(f"the gate answered {done.returncode}: {done.stderr or done.stdout}")
    return seconds
