"""Payloads to record batches, with the bounded decoder's result for each payload.

The native library is fast, but does not validate its input. A batch is accepted only if the library encodes it to the same
bytes again. This finds trailing bytes, wrong block sizes and counts, numbers beyond 64 bits, and every other difference
between reading and writing. Checks on the columns find the rest: invalid UTF-8, values out of range, too many digits,
repeated map keys. A batch that fails is halved until few payloads are left, or until halving no longer pays; the bounded
decoder reads these one by one and decides. A payload that is valid but unusual is therefore slower, and never refused.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import pyarrow as pa

from meshport.codec import MAX_PAYLOAD, codec_for
from meshport.columnar import native
from meshport.columnar.native import Refused
from meshport.columnar.plan import arrow_schema, plan
from meshport.errors import DecodeError
from meshport.schema import Schema

# Fewer payloads than this are read one by one: a call of the library takes at least 80 us.
_FEW: Final = 8
# Halvings of a batch: enough to find one bad payload in 100,000. With more bad payloads the bounded decoder is faster: it takes
# 3 us an event however many are bad, while halving took 10 us an event with one bad payload in a hundred.
_HALVINGS: Final = 16
# Bytes of one batch, since Arrow's offsets have 31 bits.
MAX_BATCH: Final = 1024 * 1024 * 1024


class Decoded(NamedTuple):
    """The result of decoding some payloads.

    Attributes:
        batch: the payloads that were decoded, in order, one row each.
        errors: of the others, by index.
    """

    batch: Any
    errors: dict[int, DecodeError]


class ColumnarDecoder:
    """Decodes payloads of one record schema to Arrow. Thread-safe.

    Args:
        schema: of the writer.

    Attributes:
        arrow: the schema of every batch.

    Raises:
        ValueError: columns do not support the schema; see `supports`.
    """

    def __init__(self, schema: Schema) -> None:
        if why := native.unavailable():
            raise ValueError(why)
        self.schema = schema
        self.arrow = arrow_schema(schema)
        self._root = plan(schema)
        self._wire = json.dumps(self._root.wire)
        self._codec = codec_for(schema)

    def decode(self, bodies: Sequence[bytes], start: int = 0) -> Any:
        """Return the record batch of some payloads, one row each.

        Args:
            bodies: the payloads; together at most `MAX_BATCH` bytes.
            start: index of the first byte of Avro in each; 5 after Confluent's prefix.

        Returns:
            A `pyarrow.RecordBatch` of the schema `arrow`.

        Raises:
            DecodeError: the bounded decoder refuses a payload; the error has the index of the first one.
            ValueError: the payloads exceed one batch.
        """
        decoded = self.decode_good(bodies, start)
        if decoded.errors:
            index, error = min(decoded.errors.items())
            raise DecodeError(f"payload {index}: {error.message}", offset=error.offset, hint=error.hint) from error
        return decoded.batch

    def decode_good(self, bodies: Sequence[bytes], start: int = 0) -> Decoded:
        """Return the payloads that can be decoded and the errors of the others; arguments as for `decode`.

        Raises:
            ValueError: the payloads exceed one batch.
        """
        cut = [body[start:] for body in bodies] if start else list(bodies)
        if sum(map(len, cut)) > MAX_BATCH:
            raise ValueError(f"the payloads take more than {MAX_BATCH} bytes, which one batch does not hold")
        pieces: list[Any] = []
        errors: dict[int, DecodeError] = {}
        # Spans that are left, the first one last.
        spans = [(0, len(cut))] if cut else []
        doubts = 0
        while spans:
            first, end = spans.pop()
            if end - first < _FEW or doubts == _HALVINGS or native.forked():
                pieces.append(self._screened(bodies, start, range(first, end), errors))
                continue
            try:
                pieces.append(self._columns(cut[first:end]))
            except (Refused, pa.ArrowException):
                doubts += 1
                middle = (first + end) // 2
                spans += [(middle, end), (first, middle)]
        if not pieces:
            pieces = [pa.RecordBatch.from_pylist([], schema=self.arrow)]
        return Decoded(pieces[0] if len(pieces) == 1 else pa.concat_batches(pieces), errors)

    def _columns(self, bodies: list[bytes]) -> Any:
        """Return the batch of payloads that all pass the checks.

        Raises:
            Refused: one does not.
            pa.ArrowException: one does not.
        """
        if max(map(len, bodies)) > MAX_PAYLOAD:
            raise Refused("a payload too long")
        wire = native.read(bodies, self._wire)
        if not native.write(wire, self._wire).equals(pa.array(bodies, pa.binary())):
            raise Refused("bytes that are not written so")
        batch = pa.RecordBatch.from_arrays(self._root.read_columns(wire.columns), schema=self.arrow)
        # Checks UTF-8 and the digits of decimals. With invalid text, Polars showed unrelated memory.
        batch.validate(full=True)
        return batch

    def _screened(self, bodies: Sequence[bytes], start: int, span: range, errors: dict[int, DecodeError]) -> Any:
        """Return the batch of the payloads that the bounded decoder accepts; add the errors of the others to `errors`."""
        kept, values = [], []
        for index in span:
            try:
                values.append(self._codec.decode(bodies[index], start))
            except DecodeError as error:
                errors[index] = error
            else:
                kept.append(bodies[index][start:])
        if len(kept) >= _FEW and not native.forked():
            try:
                return self._columns(kept)
            except (Refused, pa.ArrowException):
                pass  # valid, but encoded otherwise than the library does; the values are known
        structs = pa.array(map(self._root.value, values), self._root.arrow)
        return pa.RecordBatch.from_arrays(structs.flatten(), schema=self.arrow)
