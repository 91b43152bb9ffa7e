"""Payloads to record batches, with the verdict of the bounded decoder on each.

The native library is quick and not careful. A batch counts as read only if the library, asked to write it again, gives
the very bytes that came in: that catches what follows a record, block sizes and counts that lie, numbers beyond 64 bits,
and all that is read otherwise than it is written. What bytes cannot tell is asked of the columns: UTF-8, ranges,
digits, a key that stands twice. A batch that fails is halved until the bad payload stands among few, or until halving no
longer pays; then the bounded decoder reads one by one. Its word is final, so a payload that is legal and merely unusual is
slower, never refused.
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

# Payloads below which row by row is as quick as another call, which takes 80 us whatever it reads.
_FEW: Final = 8
# Times that a batch is halved, enough to find one bad payload in 100,000. Where there are more of them, asking the bounded
# decoder about each is quicker: 3 us an event however many are bad, where halving took 10 us at one in a hundred.
_HALVINGS: Final = 16
# Bytes of one batch: Arrow's offsets have 31 bits.
MAX_BATCH: Final = 1024 * 1024 * 1024


class Decoded(NamedTuple):
    """What became of some payloads.

    Attributes:
        batch: those that were read, in order, one row each.
        errors: of the others, by their index among the payloads.
    """

    batch: Any
    errors: dict[int, DecodeError]


class ColumnarDecoder:
    """Reads payloads of one record schema into Arrow; safe for use by several threads.

    Args:
        schema: of the writer.

    Attributes:
        arrow: the schema of every batch.

    Raises:
        ValueError: the schema is one of those that `supports` gives a reason for.
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
        """The record batch of some payloads, one row each.

        Args:
            bodies: the payloads; together at most `MAX_BATCH` bytes.
            start: position of the first byte that is Avro in each, 5 behind Confluent's prefix.

        Returns:
            A `pyarrow.RecordBatch` of the schema `arrow`.

        Raises:
            DecodeError: the bounded decoder's, with the index of the first payload that it refuses.
            ValueError: the payloads are too many for one batch.
        """
        decoded = self.decode_good(bodies, start)
        if decoded.errors:
            index, error = min(decoded.errors.items())
            raise DecodeError(f"payload {index}: {error.message}", offset=error.offset, hint=error.hint) from error
        return decoded.batch

    def decode_good(self, bodies: Sequence[bytes], start: int = 0) -> Decoded:
        """The payloads that can be read, and the errors of the others; arguments as those of `decode`.

        Raises:
            ValueError: the payloads are too many for one batch.
        """
        cut = [body[start:] for body in bodies] if start else list(bodies)
        if sum(map(len, cut)) > MAX_BATCH:
            raise ValueError(f"the payloads take more than {MAX_BATCH} bytes, which one batch does not hold")
        pieces: list[Any] = []
        errors: dict[int, DecodeError] = {}
        # Those that are open, the first ones last.
        spans = [(0, len(cut))] if cut else []
        doubts = 0
        while spans:
            first, behind = spans.pop()
            if behind - first < _FEW or doubts == _HALVINGS or native.forked():
                pieces.append(self._screened(bodies, start, range(first, behind), errors))
                continue
            try:
                pieces.append(self._columns(cut[first:behind]))
            except (Refused, pa.ArrowException):
                doubts += 1
                middle = (first + behind) // 2
                spans += [(middle, behind), (first, middle)]
        if not pieces:
            pieces = [pa.RecordBatch.from_pylist([], schema=self.arrow)]
        return Decoded(pieces[0] if len(pieces) == 1 else pa.concat_batches(pieces), errors)

    def _columns(self, bodies: list[bytes]) -> Any:
        """The batch of payloads that are all beyond doubt.

        Raises:
            Refused: one is not.
            pa.ArrowException: one is not.
        """
        if max(map(len, bodies)) > MAX_PAYLOAD:
            raise Refused("a payload too long")
        wire = native.read(bodies, self._wire)
        if not native.write(wire, self._wire).equals(pa.array(bodies, pa.binary())):
            raise Refused("bytes that are not written so")
        batch = pa.RecordBatch.from_arrays(self._root.read_columns(wire.columns), schema=self.arrow)
        # UTF-8 and the digits of decimals. Polars showed unrelated memory where text was none.
        batch.validate(full=True)
        return batch

    def _screened(self, bodies: Sequence[bytes], start: int, span: range, errors: dict[int, DecodeError]) -> Any:
        """The batch of what the bounded decoder reads of some payloads; what it refuses goes to `errors`."""
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
                pass  # legal, and not as the library writes it: the values are at hand
        structs = pa.array(map(self._root.value, values), self._root.arrow)
        return pa.RecordBatch.from_arrays(structs.flatten(), schema=self.arrow)
