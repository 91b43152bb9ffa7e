"""Errors as JSON, the log's lines, and completion: what programs and shells read of the command line."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from meshport.cli.failure import asks_for_json
from meshport.cli.log_lines import JsonLog, TextLog
from tests.cli.running import Ended, Run
from tests.cli.shop import ORDERS_FILE, order, write_shop


def failure(ended: Ended) -> dict[str, Any]:
    """The JSON object that a command which failed wrote as the last line of stderr; stdout is empty."""
    assert ended.out == ""
    found: dict[str, Any] = json.loads(ended.err.splitlines()[-1])
    assert found["exit"] == ended.code
    return found


def test_an_error_is_json_with_its_facts(cli: Run) -> None:
    """With --json an error has its class, message, hint, exit code and known facts, and no line for people."""
    ended = cli("search", "--json", "--registry", "ftp://registry")
    assert failure(ended) == {
        "error": "RegistryUnavailable",
        "message": "'ftp://registry' is no URL of a registry",
        "hint": "http://host:port or http://user:password@host:port, with %2F for / and %40 for @ in a password",
        "exit": 3,
        "facts": {"url": "ftp://registry"},
    }
    assert "error:" not in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resolve", "--json"], "Missing argument"),
        (["aply", "--json"], "Did you mean 'apply'"),
        (["gate", "check", "--format", "json", "--sample", "7"], "--sample needs --history"),
        (["replay", "a/b", "--from", "yesterday", "--json"], "'yesterday' is no time"),
    ],
)
def test_a_wrong_command_line_is_json(cli: Run, arguments: list[str], message: str) -> None:
    """A command line that cannot be parsed, or contradicts itself, is reported as JSON too."""
    found = failure(cli(*arguments))
    assert (found["error"], found["exit"]) == ("UsageError", 2)
    assert message in found["message"]


def test_json_is_asked_for_by_an_option() -> None:
    """A word after `--` is an argument, however it looks."""
    assert asks_for_json(["check", "--json"])
    assert asks_for_json(["gate", "check", "--format=json"])
    assert not asks_for_json(["search", "--", "--json"])
    assert not asks_for_json(["publish", "a/b", "--format", "jsonl"])


def test_check_is_json(cli: Run, tmp_path: Path) -> None:
    """`check --json` has a line for each product; an input that cannot be looked up is named."""
    write_shop(tmp_path, order({"name": "customer", "type": "string"}))
    (found,) = cli("check", "--json").lines
    assert found == {
        "address": "mesh://shop/orders",
        "archetype": "source-aligned",
        "file": str(tmp_path / ORDERS_FILE),
        "ports": ["mesh://shop/orders/events@1"],
        "unknownInputs": [],
    }


def test_init_and_new_report_what_they_wrote_as_json(cli: Run, tmp_path: Path) -> None:
    """With --json the files that were written are one object: of a project, a product, and its next major line."""
    (made,) = cli("init", "--json").lines
    assert str(tmp_path / "producers") in made["made"]
    contract = tmp_path / "schemas/shop/orders.events.avsc"
    descriptor = tmp_path / "producers/shop/orders/product.yaml"
    (product,) = cli("new", "shop/orders", "--json").lines
    assert product["address"] == "mesh://shop/orders"
    assert {str(contract), str(descriptor)} <= set(product["wrote"])
    (line,) = cli("new", "shop/orders", "--major", "--json").lines
    assert line == {
        "address": "mesh://shop/orders/events@2",
        "wrote": [str(descriptor), str(contract.with_name("orders.events.v2.avsc"))],
    }


def test_a_line_of_the_log_has_its_time_in_utc() -> None:
    """The log's times are ISO 8601 in UTC, to the millisecond, whatever the machine's zone."""
    record = logging.LogRecord("meshport.x", logging.WARNING, "x.py", 1, "something %s", ("happened",), None)
    record.created = 1_772_366_400.25
    assert TextLog().format(record) == "2026-03-01T12:00:00.250Z WARNING meshport.x: something happened"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("meshport res", {"resolve"}),
        ("meshport gate explain TYPE_M", {"TYPE_MISMATCH"}),
        ("meshport gate check sho", {"shop/orders"}),
        ("meshport gate wai", {"waive", "waivers"}),
        ("meshport replay shop/orders --res", {"--resume"}),
        ("meshport resolve sho", {"shop/orders"}),
        ("meshport resolve mesh://sho", {"mesh://shop/orders"}),
    ],
)
def test_the_shell_completes(cli: Run, tmp_path: Path, typed: str, offered: set[str]) -> None:
    """Commands, options and the addresses of the project are completed."""
    write_shop(tmp_path, order())
    words = typed.split()
    ended = cli(_MESHPORT_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=str(len(words) - 1))
    assert ended.code == 0
    assert set(re.split(r"\s+", ended.out.strip())) == offered


def logged(**extra: Any) -> logging.LogRecord:
    """A record of the log, with these facts."""
    record = logging.LogRecord("meshport.x", logging.WARNING, "x.py", 1, "something %s", ("happened",), None)
    record.created = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC).timestamp()
    vars(record).update(extra)
    return record


def test_a_line_of_the_log_as_json() -> None:
    """It has time, level, logger and message, and what it was logged with; no fact takes the place of these."""
    record = logged(topic="orders", facts={"partition": 3, "offset": 17, "message": "another"})
    assert json.loads(JsonLog().format(record)) == {
        "time": "2026-03-01T12:00:00.250Z",
        "level": "warning",
        "logger": "meshport.x",
        "message": "something happened",
        "partition": 3,
        "offset": 17,
        "topic": "orders",
    }


def test_a_line_of_the_log_has_its_traceback() -> None:
    """An exception that is logged is one field, however many lines it has."""
    record = logged()
    try:
        raise ValueError("no")
    except ValueError:
        record.exc_info = sys.exc_info()
    assert json.loads(JsonLog().format(record))["exception"].endswith("ValueError: no")


@pytest.mark.parametrize("how", ["option", "variable"])
def test_each_line_of_stderr_is_json(cli: Run, tmp_path: Path, how: str) -> None:
    """Notes, warnings and the error that ends a command are objects with a time and a level; stdout stays as it is."""
    write_shop(tmp_path, order({"name": "customer", "type": "string"}))
    option = ["--log-format", "json"] if how == "option" else []
    variable = {} if option else {"MESHPORT_LOG_FORMAT": "json"}
    lines = [json.loads(each) for each in cli(*option, "check", **variable).err.splitlines()]
    assert [(each["level"], each["message"]) for each in lines] == [
        ("info", "shop/orders: source-aligned, 1 port"),
        ("info", "1 product well-formed"),
    ]
    assert all(each["time"].endswith("Z") for each in lines)
    ended = cli(*option, "search", "--registry", "ftp://registry", **variable)
    (line,) = (json.loads(each) for each in ended.err.splitlines())
    assert {name: line[name] for name in ("level", "error", "message", "exit", "facts")} == {
        "level": "error",
        "error": "RegistryUnavailable",
        "message": "'ftp://registry' is no URL of a registry",
        "exit": 3,
        "facts": {"url": "ftp://registry"},
    }
    assert cli("check").err.startswith("shop/orders:"), "the form is of one command"
