"""Schema resolution: bytes of the writer's schema read as values of the reader's."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import fastavro
from fastavro.read import SchemaResolutionError

from meshport.codec.decoding import decoder
from meshport.errors import DecodeError
from meshport.schema import Schema


class ResolvingDecoder:
    """Reads what one schema wrote as values of another (Avro specification, "Schema Resolution").

    Args:
        writer: the schema of the bytes.
        reader: the schema of the values.
    """

    def __init__(self, writer: Schema, reader: Schema) -> None:
        self.writer = writer
        self.reader = reader
        self._plain = decoder(writer)

    def decode(self, body: bytes, start: int = 0) -> Any:
        """The value of some bytes, as the reader's schema has it.

        Raises:
            DecodeError: the bytes are not what the writer's schema says, or the value has no place in the reader's.
        """
        value = self._plain(body, start)
        if self.writer.text == self.reader.text:
            return value
        # fastavro resolves, on bytes that are proven: see `limits` for what it does with others.
        try:
            return fastavro.schemaless_reader(BytesIO(body[start:]), self.writer.parsed, self.reader.parsed)
        except (SchemaResolutionError, ValueError, TypeError, KeyError) as error:
            raise DecodeError(
                f"a value of {self.writer.name} has no place in the reader's {self.reader.name}: {error}"
            ) from error
