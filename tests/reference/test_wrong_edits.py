"""Wrong edits to the reference mesh, one for each way in which a contract can break: the gate catches each by its rule."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from meshport.compat import RULES
from tests.cli.conftest import cli
from tests.cli.running import Run
from tests.repository import commit_reference_mesh, git

__all__ = ["cli"]

ROOT = Path(__file__).parents[2]
PLAYS, PLAYS_SCHEMA = "producers/player/plays/product.yaml", "schemas/player/plays.events.avsc"
TERMS, TERMS_SCHEMA = "producers/artists/onboardings/product.yaml", "schemas/artists/onboardings.events.avsc"
HOURS, HOURS_SCHEMA = (
    "processors/listening/plays-by-artist/product.yaml",
    "schemas/listening/plays-by-artist.events.avsc",
)
SESSIONS = "processors/listening/sessions/product.yaml"
ROYALTIES = "processors/payments/artist-royalties/product.yaml"
COUNTRY = "schemas/common/country.avsc"

Edit = Callable[[Path], None]


def text(file: str, pattern: str, replacement: str) -> Edit:
    """Replace what stands once in a file."""

    def edit(root: Path) -> None:
        before = (root / file).read_text()
        after, count = re.subn(pattern, replacement, before, flags=re.MULTILINE)
        assert count == 1, f"{pattern!r} stands {count} times in {file}"
        (root / file).write_text(after)

    return edit


def form(file: str, change: Callable[[dict[str, Any]], Any]) -> Edit:
    """Change the JSON of a schema."""

    def edit(root: Path) -> None:
        data = json.loads((root / file).read_text())
        change(data)
        (root / file).write_text(json.dumps(data, indent=2))

    return edit


def field(file: str, name: str, change: Callable[[dict[str, Any]], Any]) -> Edit:
    """Change one field of a schema."""
    return form(file, lambda data: change(next(each for each in data["fields"] if each["name"] == name)))


def without(file: str, name: str) -> Edit:
    """Take a field out of a schema."""
    return form(file, lambda data: data.update(fields=[each for each in data["fields"] if each["name"] != name]))


def with_field(file: str, **given: Any) -> Edit:
    """Put a field into a schema."""
    return form(file, lambda data: data["fields"].append(given))


def gone(folder: str) -> Edit:
    """Delete a folder."""
    return lambda root: shutil.rmtree(root / folder)


def moved(root: Path) -> None:
    """Give a product another address under its id."""
    shutil.move(root / "producers/player/quality", root / "producers/player/signals")
    shutil.move(root / "schemas/player/quality.events.avsc", root / "schemas/player/signals.events.avsc")
    text("producers/player/signals/product.yaml", "^address: .*", "address: mesh://player/signals")(root)


@dataclass(frozen=True)
class Wrong:
    """One wrong edit: the rule that has to catch it, the product where, and the deed."""

    rule: str
    address: str
    edit: Edit


WRONG = [
    Wrong("READER_FIELD_MISSING_DEFAULT_VALUE", "player/plays", without(PLAYS_SCHEMA, "played_ms")),
    Wrong("READER_FIELD_MISSING_DEFAULT_VALUE", "player/plays", with_field(PLAYS_SCHEMA, name="volume", type="int")),
    Wrong("TYPE_MISMATCH", "player/plays", field(PLAYS_SCHEMA, "track_ms", lambda each: each.update(type="string"))),
    Wrong("NAME_MISMATCH", "player/plays", form(PLAYS_SCHEMA, lambda data: data.update(name="Playback"))),
    Wrong(
        "MISSING_UNION_BRANCH",
        "artists/onboardings",
        field(TERMS_SCHEMA, "label", lambda each: each.update(type=["null", "string", "long"])),
    ),
    Wrong(
        "DECIMAL_SCALE",
        "artists/onboardings",
        field(TERMS_SCHEMA, "rate_per_play", lambda each: each["type"].update(scale=4)),
    ),
    Wrong(
        "DECIMAL_PRECISION",
        "listening/plays-by-artist",
        field(HOURS_SCHEMA, "royalty", lambda each: each["type"].update(precision=12)),
    ),
    Wrong(
        "TIME_UNIT",
        "player/plays",
        field(PLAYS_SCHEMA, "started_at", lambda each: each["type"].update(logicalType="timestamp-micros")),
    ),
    Wrong(
        "LOGICAL_TYPE",
        "listening/plays-by-artist",
        field(HOURS_SCHEMA, "royalty", lambda each: each.update(type="bytes")),
    ),
    Wrong("ENUM_SYMBOL_REMOVED", "artists/onboardings", text(COUNTRY, ', "ZA"', "")),
    Wrong("ENUM_DEFAULT", "artists/onboardings", text(COUNTRY, '"default": "ZZ"', '"default": "DE"')),
    Wrong(
        "NULLABLE_REQUIRED", "listening/plays-by-artist", field(HOURS_SCHEMA, "label", lambda each: each.pop("default"))
    ),
    Wrong(
        "ALIAS_COLLISION",
        "player/plays",
        field(PLAYS_SCHEMA, "track_ms", lambda each: each.update(aliases=["played_ms"])),
    ),
    Wrong(
        "ZERO_WIDTH_ITEMS",
        "player/plays",
        with_field(PLAYS_SCHEMA, name="marks", type={"type": "array", "items": "null"}, default=[]),
    ),
    Wrong("POLYSEME", "player/plays", field(PLAYS_SCHEMA, "artist_id", lambda each: each.update(type="string"))),
    Wrong("KEY_CHANGED", "player/plays", text(PLAYS, "key: user_id", "key: artist_id")),
    Wrong("TIME_CHANGED", "artists/onboardings", text(TERMS, "time: valid_from", "time: signed_at")),
    Wrong("EVENT_TYPE", "player/plays", text(PLAYS, "  - name: events", "  - name: events\n    type: player.play")),
    Wrong("PARTITIONS_ADDED", "player/plays", text(PLAYS, "partitions: 4", "partitions: 8")),
    Wrong("RETENTION", "listening/sessions", text(SESSIONS, "retention: 365d", "retention: 30d")),
    Wrong("CLEANUP_POLICY", "listening/plays-by-artist", text(HOURS, "    cleanup: compact\n", "")),
    Wrong(
        "COMPATIBILITY_LOWERED",
        "player/plays",
        text(PLAYS, "    partitions: 4", "    partitions: 4\n    compatibility: BACKWARD"),
    ),
    Wrong("CLASSIFICATION_LOWERED", "listening/sessions", text(SESSIONS, "confidential$", "public")),
    Wrong("SLO_WEAKENED", "payments/artist-royalties", text(ROYALTIES, "value: 5, unit: m", "value: 5, unit: h")),
    Wrong("OWNER_DROPPED", "player/plays", text(PLAYS, "^contact: .*\n", "")),
    Wrong("PRODUCT_ID", "player/plays", text(PLAYS, "^id: 2", "id: 3")),
    Wrong("EVENT_SOURCE", "player/quality", moved),
    Wrong("PRODUCT_REMOVED", "player/quality", gone("producers/player/quality")),
    Wrong(
        "PORT_REMOVED",
        "player/quality",
        text(
            "producers/player/quality/product.yaml",
            "  - name: events",
            "  - name: signals\n    schema: schemas/player/quality.events.avsc",
        ),
    ),
    Wrong(
        "MAJOR_MOVES_READERS",
        "player/plays",
        text(PLAYS, "slaProperties:", f"  - name: events\n    major: 2\n    schema: {PLAYS_SCHEMA}\nslaProperties:"),
    ),
]


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference mesh, committed."""
    root = tmp_path_factory.mktemp("mesh")
    commit_reference_mesh(root)
    return root


@pytest.fixture
def mesh(committed: Path) -> Iterator[Path]:
    """The reference mesh as it was committed, before and after."""
    yield committed
    git(committed, "checkout", "--", ".")
    git(committed, "clean", "-fd")


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: f"{wrong.rule}-{WRONG.index(wrong)}")
def test_a_wrong_edit_is_caught_by_the_rule_that_it_breaks(
    wrong: Wrong, mesh: Path, cli: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate refuses it, the rule is the one that says why, and the finding names file and line."""
    wrong.edit(mesh)
    monkeypatch.chdir(mesh)
    ended = cli("gate", "check", "--against", "main", "--json")
    assert ended.code == 1, ended.err
    verdicts = {each["address"]: each for each in json.loads(ended.out)["verdicts"]}
    found = [
        each
        for address, verdict in verdicts.items()
        if address.startswith(f"mesh://{wrong.address}/")
        for each in verdict["findings"]
        if each["severity"] == "error"
    ]
    assert wrong.rule in {each["rule"] for each in found}, found
    assert wrong.rule.endswith("REMOVED") or wrong.rule == "EVENT_SOURCE" or all(each["line"] for each in found)


def test_the_wrong_edits_differ() -> None:
    """Every rule is one of the table, and there are more than twenty ways."""
    assert {wrong.rule for wrong in WRONG} <= set(RULES)
    assert len({wrong.rule for wrong in WRONG}) > 20


def test_the_mesh_as_it_is_passes(mesh: Path, cli: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against itself nothing is found, and every contract counts as unchanged."""
    monkeypatch.chdir(mesh)
    ended = cli("gate", "check", "--against", "main", "--json")
    assert ended.code == 0
    assert json.loads(ended.out)["unchanged"] == 7
