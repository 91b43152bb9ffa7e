"""kcat, which knows topics, keys, headers and bytes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import pytest

from tests.interop.orders import Published
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.kafka
# What stands between the parts of a message; no key and no header of an order holds it.
_PART, _END = "\x1f", "\x1e"


@pytest.fixture
def kcat(tool: Callable[[str], str]) -> Callable[..., bytes]:
    """Reads a topic to its end with kcat."""
    program = tool("kcat")

    def read(published: Published, *options: str) -> bytes:
        where = ["-b", published.binding.bootstrap_servers, "-t", published.binding.topic]
        done = subprocess.run(
            [program, "-C", *where, "-o", "beginning", "-e", "-q", *options],
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout

    return read


def messages(output: bytes) -> list[list[str]]:
    """The parts of each message that kcat shows."""
    return [each.split(_PART) for each in output.decode().split(_END)[:-1]]


def test_kcat_shows_key_and_headers(orders: Published, kcat: Callable[..., bytes]) -> None:
    """Key and headers are text that a person reads: the key field, the attributes of the event by their names."""
    found = {}
    for key, headers in messages(kcat(orders, "-f", f"%k{_PART}%h{_END}")):
        attributes = dict(each.split("=", 1) for each in headers.split(","))
        assert attributes["content-type"] == "application/avro"
        assert attributes["ce_specversion"] == "1.0"
        assert attributes["ce_source"] == str(orders.binding.address)
        assert attributes["ce_type"] == orders.binding.type
        assert attributes["ce_time"].endswith("Z")
        found[attributes["ce_id"]] = key
    assert found == {id: record["customer"] for id, record in orders.records.items() if record}


def test_kcat_shows_a_tombstone(ledger: Published, kcat: Callable[..., bytes]) -> None:
    """A retraction is a message with the key that it ends and a null value, of length -1 for kcat."""
    shown = messages(kcat(ledger, "-f", f"%k{_PART}%S{_END}"))
    assert len(shown) == len(ledger.records)
    assert [key for key, size in shown if size == "-1"] == ["order-1"]


def test_kcat_unpacks_confluents_prefix(orders: Published, kcat: Callable[..., bytes]) -> None:
    """`-s value=>bi`, a byte and a big-endian number, shows the byte 0 and the id that the registry gave."""
    heads = messages(kcat(orders, "-s", "value=>bi", "-f", f"%s{_END}"))
    assert heads == [[f"0{orders.binding.schema_id}"]] * len(orders.records)
