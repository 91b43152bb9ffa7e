"""Starting a replay job: its bounds become offsets, which it keeps however often it is interrupted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from meshport.address import Address
from meshport.errors import ReplayError
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.ports.history import Missing
from meshport.ports.replay import Bound, Earlier, Replay
from meshport.registry import Registry
from meshport.replay_jobs import ReplayJob, ReplayOutput, ReplayRequest
from meshport.replaying.selection import Selection
from meshport.schema import Schema, parse_schema


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """What is asked of a replay job.

    Attributes:
        address: of the port.
        purpose: why it is replayed.
        output: where the events go.
        begin: the first time or offset; None for the beginning of the history.
        end: the time or offset before which it ends; None for what can be read now.
        keys: only events with one of these record keys; empty for all.
        types: only events of one of these types; empty for all.
        where: only events whose data meet this expression; None for all.
        reader: the schema to resolve records to; None for the one that each was written with.
        rate: events in a second, at most; None for no cap.
        file: the file, where the output is one.
        readers: whom the topic is for, where the output is a topic.
    """

    address: Address
    purpose: str
    output: ReplayOutput
    begin: Bound = None
    end: Bound = None
    keys: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    where: str | None = None
    reader: Schema | None = None
    rate: int | None = None
    file: Path | None = None
    readers: tuple[str, ...] = ()


def start(
    wanted: ReplayOptions, mesh: Registry, *, missing: Missing = Missing.REFUSE, kafka: KafkaAccess = PLAINTEXT
) -> ReplayJob:
    """Record a job in the registry; a `ReplayRun` replays it.

    Args:
        wanted: what is asked of it.
        mesh: the registry.
        missing: whether it may begin where part of what it asks for cannot be read.
        kafka: the connections to Kafka; servers that they name win over the binding's.

    Raises:
        ProcessError: the expression is none, or reads a field that the contract does not have.
        ReplayError: the bounds are impossible, or the port's events cannot be copied into a topic.
        HistoryMissing, HistoryUndecided: part of the history cannot be read; `missing` allows it.
        NotRegistered: the registry knows no such port.
        RegistrationRefused: the caller may not read the port.
    """
    selection = Selection(wanted.keys, wanted.types, wanted.where)
    with Replay(
        wanted.address,
        mesh,
        begin=wanted.begin,
        end=wanted.end,
        reader=wanted.reader,
        missing=missing,
        earlier=Earlier.LEAVE_OUT,  # a job keeps offsets of one topic
        kafka=kafka,
    ) as found:
        binding = found.binding
        if binding.envelope == "none" and wanted.output is ReplayOutput.TOPIC:
            raise ReplayError(
                f"the events of {binding.address} are no CloudEvents, so that a copy cannot say which event it is",
                topic=binding.topic,
                hint="replay them into a file or a function",
            )
        selection.refuse_unknown(wanted.reader or parse_schema(binding.schema_text))
        request = ReplayRequest(
            address=binding.address,
            topic=binding.topic,
            topic_id=found.topic_id,
            since=found.since,
            until=found.until,
            begins=found.range.begins,
            ends=found.range.ends,
            keys=wanted.keys,
            types=wanted.types,
            where=wanted.where,
            reader=None if wanted.reader is None else wanted.reader.text,
            rate=wanted.rate,
            purpose=wanted.purpose,
            output=wanted.output,
            file=None if wanted.file is None else str(wanted.file.absolute()),
            readers=wanted.readers,
        )
    return mesh.replays.start(request)
