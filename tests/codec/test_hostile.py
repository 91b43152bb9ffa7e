"""Hostile payloads are refused by little work and memory, and the process lives on."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from typing import Any

import pytest

from meshport.codec import Codec, ResolvingDecoder
from meshport.codec.limits import MAX_DEPTH, MAX_PAYLOAD, MAX_ZERO_WIDTH
from meshport.errors import DecodeError, EncodeError
from tests.codec.hostile import NODE, PAYLOADS
from tests.codec.samples import schema
from tests.waiting import PATIENCE_S


def test_hostile_payloads_are_refused_within_200000_lines_and_64_mb() -> None:
    """Each payload is refused on a thread of 1 MiB stack, with 64 MB of address space to take, by 200,000 lines at most."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.codec.hostile"], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    *cases, memory = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(cases) == len(PAYLOADS) + 3, ran.stderr[-2000:]
    for case in cases:
        assert "refused" in case["outcome"] or case["outcome"].startswith("DecodeError"), case
    assert memory["mb"] < 64
    # Work in C is no line: what would take long there, such as a conversion to digits, is refused before it begins.
    outcomes = {case["case"]: case["outcome"] for case in cases}
    assert "has more than 20 digits" in outcomes["400 kB decimal"]
    assert "is a payload of 2000004 bytes" in outcomes["2 MB string"]


def test_values_at_the_limit_are_read_on_a_thread_of_1_mib() -> None:
    """A list of as many nodes as the depth allows is read and resolved where a thread's stack is small; one more is not."""
    form = schema(NODE)
    reader = schema({**NODE, "doc": "a reader's"})
    outcomes: list[Any] = []

    def run() -> None:
        for nodes in (MAX_DEPTH + 1, MAX_DEPTH + 2):
            payload = b"\2\2" * (nodes - 1) + b"\2\0"
            for decode in (Codec(form).decode, ResolvingDecoder(form, reader).decode):
                try:
                    outcomes.append(_length(decode(payload, 0)))
                except DecodeError as error:
                    outcomes.append(error.message)

    before = threading.stack_size(1024 * 1024)
    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert outcomes[:2] == [MAX_DEPTH + 1] * 2
    assert all("levels deep" in each for each in outcomes[2:])


def test_what_could_not_be_read_is_not_written() -> None:
    """The encoder keeps the decoder's limits: depth, payload, items of no bytes."""
    value: Any = {"v": 1, "next": None}
    for _ in range(MAX_DEPTH + 1):
        value = {"v": 1, "next": value}
    with pytest.raises(EncodeError, match="levels deep"):
        Codec(schema(NODE)).encode(value)
    with pytest.raises(EncodeError, match="can be read back"):
        Codec(schema("string")).encode("a" * (MAX_PAYLOAD + 1))
    with pytest.raises(EncodeError):
        Codec(schema({"type": "array", "items": "null"})).encode([None] * (MAX_ZERO_WIDTH + 1))


def test_a_cyclic_record_is_refused() -> None:
    """A record that holds itself ends in an EncodeError, not in Python's recursion limit."""
    value: dict[str, Any] = {"v": 1}
    value["next"] = value
    with pytest.raises(EncodeError, match="levels deep"):
        Codec(schema(NODE)).encode(value)


def test_a_decode_error_says_field_and_byte() -> None:
    """The message names the path in the schema, the offset is that of the faulty value."""
    form = {
        "type": "record",
        "name": "Order",
        "fields": [
            {
                "name": "lines",
                "type": {
                    "type": "array",
                    "items": {
                        "type": "record",
                        "name": "Line",
                        "fields": [{"name": "sku", "type": "string"}, {"name": "gift", "type": "boolean"}],
                    },
                },
            }
        ],
    }
    with pytest.raises(
        DecodeError, match=r"'lines\[\]\.gift' \(boolean\) is the byte 7, no boolean, at byte 3"
    ) as caught:
        Codec(schema(form)).decode(b"\2\2a\7\0")
    assert caught.value.offset == 3


def _length(node: dict[str, Any] | None) -> int:
    count = 0
    while node is not None:
        count, node = count + 1, node["next"]
    return count
