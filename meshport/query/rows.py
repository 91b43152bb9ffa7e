"""The rows of a port up to a boundary: files of its archive, and behind them what its topic has by now."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import pyarrow as pa

from meshport.archive.open_archives import OpenArchives
from meshport.archive.table import ArchiveTable
from meshport.archiving.columns import ArchiveColumns
from meshport.binding import Binding
from meshport.kafka.admin import Admin
from meshport.kafka.config import KafkaConfig
from meshport.ports.bound_log import refuse_other_log
from meshport.ports.earlier_lines import earlier_lines
from meshport.ports.history import Missing, insist, readable_bounds, removed_history
from meshport.ports.line_history import line_range
from meshport.ports.scan import TopicRange, history_reader, read_range
from meshport.ports.subscriber import Mesh
from meshport.schema import parse_schema

__all__ = ["PortRows", "rows_of"]

_BYTES: Final = ["_value", "_headers"]
_ALLOWED: Final = "`--allow-missing`, `missing=Missing.ALLOW`: ask what is left"


@dataclass(frozen=True)
class PortRows:
    """The rows of a port; each message is in one of the two.

    Attributes:
        live: a `pyarrow.Table` of the columns of an archive without values and headers: the events of earlier lines, and what the
            topic has behind the archive.
        archive: the port's, as it was when this began; None where there is none.
        ends: by partition of the topic, the offset after the last row.
    """

    live: Any
    archive: ArchiveTable | None
    ends: Mapping[int, int]

    def archived(self, until: datetime | None) -> Any:
        """Return the archived rows as a `pyarrow.dataset.Dataset`, or None.

        Args:
            until: files of which all events happened later are left out.
        """
        return None if self.archive is None else self.archive.dataset(self.live.schema, until)


def rows_of(
    binding: Binding,
    mesh: Mesh,
    kafka: KafkaConfig,
    missing: Missing,
    progress: Callable[[int, int], None] | None = None,
) -> PortRows:
    """Return the rows of a port up to the present ends of its topic.

    Args:
        binding: of the port.
        mesh: a registry.
        kafka: the connection to the cluster.
        missing: whether rows may be missing that are neither in the topic nor in the archive.
        progress: called with (offsets read, offsets in all) of the topic.

    Raises:
        HistoryMissing: some are, and `missing` does not allow it.
        TopicRemade: the address is bound to an earlier topic of the same name.
        ArchiveError: a field of the contract has the name of a column of the log.
        BrokerUnavailable: no broker answered.
    """
    columns = ArchiveColumns(binding, mesh, parse_schema(binding.schema_text))
    refuse_other_log(binding, Admin(kafka).topic_ids([binding.topic]).get(binding.topic))
    archive = OpenArchives([binding]).table(binding.topic)
    archived = {} if archive is None else archive.archived
    lines = earlier_lines(binding, mesh, mesh)
    with history_reader(kafka, [binding, *(each.binding for each in lines)]) as consumer:
        earlier = [
            columns.rows(line.read(messages)).drop_columns(_BYTES)
            for line in lines
            for messages in read_range(
                consumer, line_range(line, kafka, consumer, missing, _ALLOWED), progress=progress
            )
        ]
        bounds, undecided = readable_bounds(kafka, consumer, binding.topic)
        insist(removed_history(kafka, binding.topic, bounds, ports=[binding]), missing, _ALLOWED)
        insist(undecided, Missing.ALLOW, _ALLOWED)  # what an open transaction hides has not happened yet, and is said
        begins = {each: max(low, archived[each].end) if each in archived else low for each, (low, _) in bounds.items()}
        wanted = TopicRange(binding.topic, begins, {each: max(begins[each], end) for each, (_, end) in bounds.items()})
        live = [
            columns.rows(messages).drop_columns(_BYTES) for messages in read_range(consumer, wanted, progress=progress)
        ]
    empty = columns.schema.empty_table().drop_columns(_BYTES)
    return PortRows(pa.concat_tables([empty, *earlier, *live]), archive, wanted.ends)
