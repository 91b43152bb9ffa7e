"""`meshport gate`: its exit codes, its output, its waivers."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from meshport.product import parse_product
from meshport.registry import Registry
from meshport.schema import parse_schema
from meshport_registry import Settings, running
from tests.cli.running import Run
from tests.cli.shop import ORDER_FILE, ORDERS, ORDERS_FILE, order, write_shop
from tests.mesh_session import Mesh
from tests.repository import git

MISSING = "READER_FIELD_MISSING_DEFAULT_VALUE"


class Shop:
    """A project with one product."""

    def __init__(self, root: Path) -> None:
        self.root = root
        write_shop(root, _contract("customer", "cents"))

    def fields(self, *names: str) -> None:
        """Write the contract with these fields."""
        (self.root / ORDER_FILE).write_text(json.dumps(_contract(*names), indent=1))

    def commit(self) -> None:
        """Commit all files on the branch `main`."""
        git(self.root, "init", "--initial-branch=main")
        git(self.root, "add", ".")
        git(self.root, "commit", "--message=orders")

    def register(self, url: str) -> None:
        """Register the product as it is."""
        text = (self.root / ORDER_FILE).read_text()
        with Registry(url) as registry:
            registry.register(parse_product(ORDERS), {"events@1": parse_schema(text)})


def _contract(*names: str) -> dict[str, Any]:
    return order(*({"name": each, "type": "string"} for each in names))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A project in the directory that commands stand in."""
    return Shop(tmp_path)


@pytest.fixture
def registry_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An empty registry."""
    database = tmp_path_factory.mktemp("registry") / "registry.db"
    with running(Settings(database=f"sqlite:///{database}", port=0, bootstrap_servers="kafka:9092")) as url:
        yield url


@pytest.fixture
def unreachable_url() -> str:
    """A URL at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def verdict(ended_out: str) -> dict[str, Any]:
    """The one verdict of `--json`."""
    (found,) = json.loads(ended_out)["verdicts"]
    return dict(found)


@pytest.mark.usefixtures("shop")
def test_an_unknown_contract_is_new(cli: Run, registry_url: str) -> None:
    """A product that the registry does not have is `new`, which passes."""
    ended = cli("gate", "check", "--registry", registry_url)
    assert (ended.code, "new" in ended.out) == (0, True)
    ended = cli("gate", "check", "shop/orders", "--registry", registry_url, "--json")
    assert (ended.code, verdict(ended.out)["outcome"]) == (0, "new")


@pytest.mark.parametrize("against", ["registry", "main"])
def test_no_answer_is_no_pass(cli: Run, shop: Shop, unreachable_url: str, against: str) -> None:
    """A named registry that does not answer ends with 3, also if it only adds readers to a revision."""
    shop.commit()
    shop.fields("customer", "cents", "note")
    ended = cli("gate", "check", "--against", against, "--registry", unreachable_url)
    assert (ended.code, ended.out) == (3, "")
    assert "did not answer" in ended.err


@pytest.mark.usefixtures("shop")
def test_no_registry_named_is_no_pass(cli: Run) -> None:
    """Without --against a registry is needed; none is named, which ends with 3."""
    ended = cli("gate", "check")
    assert ended.code == 3
    assert "--registry" in ended.err


def test_offline_is_offline(cli: Run, shop: Shop) -> None:
    """A comparison with git uses no registry that is not named, and notes what it does not know."""
    shop.commit()
    shop.fields("customer")
    ended = cli("gate", "check", "--against", "main")
    assert ended.code == 1
    assert f"{MISSING} at cents" in ended.out
    assert "offline" in ended.out


def not_utf8(shop: Shop) -> None:
    """Write a contract that is no text."""
    (shop.root / ORDER_FILE).write_bytes(b"\xff")


def no_schema(shop: Shop) -> None:
    """Write a contract that is no schema."""
    (shop.root / ORDER_FILE).write_text('{"type": "recrod"}')


def no_descriptor(shop: Shop) -> None:
    """Write a descriptor with a key that is none."""
    (shop.root / ORDERS_FILE).write_text(ORDERS + "ownr: me\n")


@pytest.mark.parametrize(
    ("arguments", "edit", "said"),
    [
        (("check", "--against", "mian"), None, "neither a file nor a revision"),
        (("check", "--against", "nothing.json"), None, "nothing.json"),
        (("check", "shop/oders", "--against", "main"), None, "shop/orders"),
        (("check", "Shop", "--against", "main"), None, "Shop"),
        (("check", "--against", "main"), not_utf8, "cannot be read"),
        (("check", "--against", "main"), no_schema, "recrod"),
        (("check", "--against", "main"), no_descriptor, "owner"),
        (("check", "--against", "main", "--sample", "9"), None, "--sample"),
        (("check", "--against", "main", "--format", "xml"), None, "xml"),
        (("explain", "DECIMAL_SCAEL"), None, "DECIMAL_SCALE"),
        (
            ("waive", "shop/orders", "--rule", "X", "--until", "soon", "--approver", "a", "--reason", "b"),
            None,
            "--until",
        ),
    ],
)
def test_wrong_input_has_another_exit_code_than_findings(
    cli: Run, shop: Shop, arguments: tuple[str, ...], edit: Callable[[Shop], None] | None, said: str
) -> None:
    """Wrong input ends with 2, prints no verdict, and reports what was found and what would be right."""
    shop.commit()
    if edit is not None:
        edit(shop)
    ended = cli("gate", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err.replace("\n", " ")


def test_a_schema_that_is_a_bomb_is_a_finding(cli: Run, shop: Shop) -> None:
    """A schema that a rule refuses at parsing is a finding with that rule, and ends with 1."""
    shop.commit()
    (shop.root / ORDER_FILE).write_text(
        json.dumps({"type": "record", "name": "shop.Order", "fields": [{"name": "customer", "type": "shop.Order"}]})
    )
    ended = cli("gate", "check", "--against", "main", "--json")
    assert ended.code == 1
    assert [each["rule"] for each in verdict(ended.out)["findings"]] == ["DECODING_BOMB"]


def test_each_format_says_the_same(cli: Run, shop: Shop) -> None:
    """Every format of one run names the same rule, and ends with 1."""
    shop.commit()
    shop.fields("customer")
    said = {}
    for form in ("text", "json", "github", "junit", "sarif"):
        ended = cli("gate", "check", "--against", "main", "--format", form)
        assert (ended.code, ended.err) == (1, "")
        said[form] = ended.out
    assert all(MISSING in each for each in said.values())
    assert json.loads(said["json"])["passes"] is False
    assert said["github"].startswith(f"::error file={ORDER_FILE},line=")
    assert [each.get("type") for each in ET.fromstring(said["junit"]).iter("failure")] == [MISSING]
    assert [each["ruleId"] for each in json.loads(said["sarif"])["runs"][0]["results"]] == [MISSING]
    assert said["json"] == cli("gate", "check", "--against", "main", "--json").out


def test_a_waiver_lets_one_change_pass_until_it_is_taken_back(cli: Run, shop: Shop, registry_url: str) -> None:
    """A waiver is recorded, shown in every verdict that uses the registry, listed, and void once revoked."""
    shop.commit()
    shop.register(registry_url)
    shop.fields("customer")
    asked = {"MESHPORT_REGISTRY": registry_url}
    assert cli("gate", "check", **asked).code == 1
    day = str((datetime.now(UTC) + timedelta(days=30)).date())
    change = ("shop/orders", "--rule", MISSING, "--at", "cents", "--until", day)
    made = cli("gate", "waive", *change, "--approver", "Ada", "--reason", "all have moved", **asked)
    assert made.out.startswith(f"waiver 1: {MISSING} at cents of shop/orders/events@1 holds until {day}")
    for door in ((), ("--against", "main")):
        passed = cli("gate", "check", *door, **asked)
        assert (passed.code, f"waived until {day} by Ada (waiver 1): all have moved" in passed.out) == (0, True)
    assert cli("gate", "check", "--against", "main").code == 1, "offline no waiver is known"
    (listed,) = cli("gate", "waivers", "shop/orders", "--json", **asked).lines
    assert (listed["rule"], listed["path"], listed["approver"]) == (MISSING, "cents", "Ada")
    assert "taken back" in cli("gate", "revoke", "1", **asked).out
    assert cli("gate", "check", **asked).code == 1
    assert "taken back" in cli("gate", "waivers", **asked).out


@pytest.mark.parametrize(
    ("rule", "days", "said"),
    [("PARTITIONS", 30, "PARTITIONS"), (MISSING, -1, "past"), (MISSING, 400, "366")],
)
def test_a_waiver_that_would_do_harm_is_refused(
    cli: Run, shop: Shop, registry_url: str, rule: str, days: int, said: str
) -> None:
    """A waiver is refused for a rule that cannot be waived, for a day that has passed, and for more than a year."""
    shop.register(registry_url)
    day = str((datetime.now(UTC) + timedelta(days=days)).date())
    ended = cli(
        "gate", "waive", "shop/orders", "--rule", rule, "--until", day, "--approver", "Ada", "--reason", "so",
        MESHPORT_REGISTRY=registry_url,
    )  # fmt: skip
    assert ended.code == 1
    assert said in ended.err
    assert cli("gate", "waivers", MESHPORT_REGISTRY=registry_url).out == ""


def test_the_rules_are_listed_and_explained(cli: Run) -> None:
    """`rules` lists purpose, sides and fixtures of each rule; `explain` prints its manual page."""
    rows = cli("gate", "rules", "--json").lines
    assert len(rows) > 40
    assert all(row["purpose"] and row["breaks"] and row["fixtures"]["breaking"] for row in rows)
    page = cli("gate", "explain", rows[0]["id"]).out
    assert page.startswith(f"{rows[0]['id']}\n{rows[0]['purpose']}")
    table = cli("gate", "rules").out.splitlines()
    assert len(table) == len(rows) + 1


@pytest.mark.kafka
def test_history_lists_what_the_candidate_cannot_read(on_mesh: Run, mesh: Mesh, tmp_path: Path) -> None:
    """After the removal of a symbol, --history lists the stored events with it by topic, partition and offset."""
    form = {
        "type": "record",
        "name": "tests.Light",
        "fields": [
            {"name": "lamp", "type": "string"},
            {"name": "state", "type": {"type": "enum", "name": "tests.State", "symbols": ["ON", "OFF", "DIMMED"]}},
        ],
    }
    port = mesh.product(form, name="lights", key="lamp", partitions=1)
    rows = [{"lamp": "l1", "state": state} for state in ("ON", "DIMMED", "OFF", "DIMMED")]
    file = tmp_path / "lights.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert on_mesh("publish", str(port.address), "--from", str(file)).code == 0
    with Registry(mesh.url) as registry:
        product = registry.product(port.address.of_product).descriptor
    folder = tmp_path / "producers/tests" / product.address.product
    for each in (folder, tmp_path / "processors", tmp_path / "schemas/tests"):
        each.mkdir(parents=True)
    (folder / "product.yaml").write_text(product.model_dump_json(by_alias=True, exclude_none=True))
    form["fields"][1]["type"]["symbols"] = ["ON", "OFF"]  # type: ignore[index]  # JSON data
    (tmp_path / f"schemas/tests/{product.address.product}.events.avsc").write_text(json.dumps(form))
    ended = on_mesh("gate", "check", "--history", "--json")
    assert ended.code == 1
    (evidence,) = json.loads(ended.out)["evidence"]
    places = [(each["topic"], each["partition"], each["offset"]) for each in evidence["failures"]]
    assert places == [(port.topic, 0, 1), (port.topic, 0, 3)]
    assert evidence["events"] == 4
    shown = on_mesh("gate", "check", product.address.key, "--history", "--sample", "2").out
    assert f"{port.topic}[0]@3" in shown
    assert f"{port.topic}[0]@1" not in shown
