"""A port as a table: its events, archived and live, up to one boundary, asked by SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa

from meshport.address import Address
from meshport.columnar import arrow_schema, supports
from meshport.errors import QueryError
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.ports.history import Missing
from meshport.ports.subscriber import Mesh
from meshport.query.defaults import defaults_of
from meshport.query.moment import Moment
from meshport.query.rows import rows_of
from meshport.query.views import ARCHIVED, LIVE, default_query, quoted, views
from meshport.schema import parse_schema

__all__ = ["Answer", "Table"]

_AT_ONCE: Final = 100_000
_NOW: Final = Moment()


class Answer:
    """The rows of an answer; they are read once.

    Args:
        reader: of the rows.
        left_out: how many messages of the port cannot be read and are in no view but `problems`.
        failed: what DuckDB raises.

    Attributes:
        schema: a `pyarrow.Schema`.
    """

    def __init__(self, reader: Any, left_out: int, failed: type[Exception]) -> None:
        self._reader = reader
        self._failed = failed
        self.schema = reader.schema
        self.left_out = left_out

    def __iter__(self) -> Iterator[Any]:
        """Yield the rows as `pyarrow.RecordBatch`.

        Raises:
            QueryError: a row cannot be computed, such as a text that is no number.
        """
        try:
            yield from self._reader
        except (self._failed, pa.ArrowException, OSError) as error:
            raise QueryError(f"the answer ends with an error: {error}") from error

    def to_arrow(self) -> Any:
        """Return all rows as a `pyarrow.Table`."""
        return pa.Table.from_batches(self, schema=self.schema)

    def write_parquet(self, file: Path) -> None:
        """Write all rows to a Parquet file."""
        from pyarrow.parquet import ParquetWriter  # noqa: PLC0415 - of this form

        with ParquetWriter(file, self.schema, compression="zstd") as writer:
            for batch in self:
                writer.write_batch(batch)

    def to_pylist(self) -> list[dict[str, Any]]:
        """Return all rows as dicts."""
        rows: list[dict[str, Any]] = self.to_arrow().to_pylist()
        return rows


class Table:
    """The events of a port up to the present ends of its topic, which are fixed when it is opened.

    Rows of the archive are read where they lie; those that only the topic has are read into memory once.

    Args:
        address: of the port.
        mesh: a registry.
        missing: whether rows may be missing that are neither in the topic nor in the archive.
        kafka: the connections to Kafka; servers that they name win over the binding's.
        progress: called with (offsets read, offsets in all) of the topic.

    Attributes:
        binding: of the port.
        fields: the columns of the contract.
        ends: by partition of the topic, the offset after the last row.

    Raises:
        QueryError: duckdb is not installed, or the contract has no columns.
        ArchiveError: a field of the contract has the name of a column of the log.
        HistoryMissing: rows are missing, and `missing` does not allow it.
        TopicRemade: the address is bound to an earlier topic of the same name.
        NotRegistered: the registry knows no such port.
        BrokerUnavailable: no broker answered.
    """

    def __init__(
        self,
        address: Address | str,
        mesh: Mesh,
        *,
        missing: Missing = Missing.REFUSE,
        kafka: KafkaAccess = PLAINTEXT,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        try:
            import duckdb  # noqa: PLC0415 - of the extra
        except ModuleNotFoundError as error:
            raise QueryError("queries need duckdb", hint="pip install 'meshport[query]'") from error
        self.binding = mesh.resolve(Address.parse(address) if isinstance(address, str) else address)
        contract = parse_schema(self.binding.schema_text)
        if (why := supports(contract)) is not None:
            raise QueryError(f"{self.binding.address} cannot be asked by SQL: {why}", address=str(self.binding.address))
        self.fields: list[str] = arrow_schema(contract).names
        self._rows = rows_of(self.binding, mesh, kafka.to(self.binding), missing, progress)
        self.ends = self._rows.ends
        self._expressions = {each: quoted(each) for each in self.fields}
        self._failed = duckdb.Error
        self._database = duckdb.connect()
        self._database.execute("SET TimeZone = 'UTC'")
        if (archived := self._rows.archived(None)) is not None:
            self._database.register(ARCHIVED, archived)
            ids = self._database.execute(f"SELECT DISTINCT _schema_id FROM {ARCHIVED}").fetchall()
            self._expressions |= defaults_of(contract, mesh, [each for (each,) in ids if each is not None])

    @property
    def archived_offsets(self) -> int:
        """How many offsets the archive has."""
        archive = self._rows.archive
        return 0 if archive is None else sum(each.end - each.begin for each in archive.archived.values())

    def sql(self, query: str | None = None, moment: Moment = _NOW) -> Answer:
        """Ask the views of the port; `meshport.query.views.views` says which there are.

        Args:
            query: SQL, as DuckDB has it; by default the rows of `events`, or of the view that the moment asks for.
            moment: which rows count.

        Raises:
            QueryError: DuckDB refuses the query, or the moment names no field of the port.
        """
        cursor = self._database.cursor()
        cursor.execute("SET TimeZone = 'UTC'")
        cursor.register(LIVE, self._rows.live)
        parts = [LIVE]
        if (archived := self._rows.archived(moment.as_of)) is not None:
            cursor.register(ARCHIVED, archived)
            parts.insert(0, ARCHIVED)
        try:
            for name, made in views(self.binding, self._expressions, parts, moment).items():
                cursor.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {made}")
            ((left_out,),) = cursor.execute("SELECT count(*) FROM problems").fetchall()
            asked = query or default_query(self.binding, self.fields, moment)
            found = cursor.sql(asked)
            if found is None:
                raise QueryError(f"{asked!r} returns no rows", hint="a SELECT")
            return Answer(found.to_arrow_reader(_AT_ONCE), left_out, self._failed)
        except self._failed as error:
            raise QueryError(
                f"{self.binding.address} cannot be asked that: {error}",
                address=str(self.binding.address),
                hint=f"views: log, events, latest, series, problems; fields: {', '.join(self.fields)}",
            ) from error

    def close(self) -> None:
        """Free the rows."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
