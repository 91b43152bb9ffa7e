"""Whether a run's outputs are what they have to be: read again as a committed reader, counted, and summed."""

from __future__ import annotations

import json

from meshport.columnar import ColumnarDecoder
from meshport.kafka.config import KafkaConfig
from meshport.kafka.received import headers_of
from meshport.ports.scan import read_topic
from meshport.schema import parse_schema
from tests.bench.processors.orders import Totals
from tests.bench.processors.schemas import OUTPUTS, SUMMED
from tests.bench.processors.spec import Spec

_HEADERS = frozenset(
    ("ce_specversion", "ce_source", "ce_type", "ce_dataschema", "content-type", "ce_id", "ce_time", "ce_recordedtime")
)


class WrongOutputs(AssertionError):  # noqa: N818 - names what was found
    """Raised where a runner's outputs differ from the recount: it is not quick, it is wrong."""


def check(spec: Spec, expected: Totals) -> None:
    """Compare a run's outputs with the recount.

    Raises:
        WrongOutputs: their number or sum is another, or one lacks our headers.
    """
    found = _totals(spec)
    if found != expected:
        raise WrongOutputs(
            f"{spec.job}: {found.rows} outputs, sum {found.sum}; {expected.rows}, {expected.sum} are due"
        )


def _totals(spec: Spec) -> Totals:
    decoder = ColumnarDecoder(parse_schema(json.dumps(OUTPUTS[spec.job])))
    prefix = b"\0" + spec.schema_id.to_bytes(4, "big")
    rows = total = 0
    for messages in read_topic(KafkaConfig(spec.bootstrap_servers), spec.output):
        values = [message.value() or b"" for message in messages]
        if not values:
            continue
        # One of each fetch stands for all: reading the headers of all takes longer than all else here.
        headers = {name for name, _ in headers_of(messages[0]) or ()}
        if headers != _HEADERS or not all(value.startswith(prefix) for value in values):
            raise WrongOutputs(f"{spec.output}: {values[0][:8]!r} with {sorted(headers)}")
        rows += len(values)
        total += sum(decoder.decode(values, len(prefix)).column(SUMMED[spec.job]).to_pylist())
    return Totals(rows, total)
