"""The W3C trace context of events: `ce_traceparent` and `ce_tracestate`, by CloudEvents' extension "Distributed Tracing".

The only importer of OpenTelemetry, and of its API alone: which SDK collects the spans is the service's choice. Without one,
an event that is derived from a traced event carries its trace on. A process in which nothing has imported OpenTelemetry, and that
reads no traced event, pays one look into a dict for each event.

An event carries the trace of its publisher only if that trace is sampled: the spans of another are collected nowhere. Processors
compute traced events one by one, not by columns.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

__all__ = ["API", "TRACE_PARENT", "continued", "is_traced", "log_fields", "trace_headers", "traced"]

API: Final = "opentelemetry.trace"
"""The module without which nothing in a process can be traced."""

TRACE_PARENT: Final = "traceparent"
_TRACE_STATE: Final = "tracestate"
_PREFIX: Final = "ce_"
# Instrumented Kafka clients write the second.
_HEADERS: Final = frozenset((f"{_PREFIX}{TRACE_PARENT}", TRACE_PARENT))
_REPLAY: Final = "replayid"

RawHeaders = Sequence[tuple[str, bytes | None]]


class _Api(NamedTuple):
    """What is used of OpenTelemetry's API. It is looked up once, since an import takes longer than all else here.

    Attributes:
        trace: the module of traces.
        current: returns the current context, which is empty outside of a span.
        none: a context without a span.
        w3c: reads and writes the trace context of the W3C.
    """

    trace: ModuleType
    current: Callable[[], Context]
    none: Context
    w3c: TraceContextTextMapPropagator


@cache
def _api() -> _Api:
    from opentelemetry import context, trace  # noqa: PLC0415 - a process without traces does not load it
    from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415 - as above

    return _Api(trace, context.get_current, context.Context(), tracecontext.TraceContextTextMapPropagator())


def trace_headers(source: str, id: bytes) -> list[tuple[str, bytes]]:
    """Return the headers of an event that is published now; none outside of a sampled trace.

    The event gets a span of its own, of the kind `PRODUCER`, below the caller's.

    Args:
        source: of the event.
        id: of the event, in UTF-8.
    """
    if API not in sys.modules or not (context := _api().current()):
        return []
    trace = _api().trace
    within = trace.get_current_span(context).get_span_context()
    if not (within.is_valid and within.trace_flags.sampled):
        return []
    attributes = {"cloudevents.event_source": source, "cloudevents.event_id": id.decode(errors="replace")}
    span = _tracer().start_span(f"publish {source}", kind=trace.SpanKind.PRODUCER, attributes=_messaging(attributes))
    carrier: dict[str, str] = {}
    _api().w3c.inject(carrier, trace.set_span_in_context(span))
    span.end()
    return [(_PREFIX + name, text.encode()) for name, text in carrier.items()]


def is_traced(headers: RawHeaders) -> bool:
    """Return whether a message belongs to a trace."""
    for name, _ in headers:  # noqa: SIM110 - `any` takes three times as long, and this is asked for each event
        if name in _HEADERS:
            return True
    return False


def continued(headers: RawHeaders, name: str, attributes: Mapping[str, Any]) -> AbstractContextManager[object]:
    """Return a context in which the trace of a message goes on: its span is current, so that what is published belongs to it.

    Args:
        headers: of the message; without a trace that can be read, the context does nothing.
        name: of the span.
        attributes: of the span, with the position of the message.
    """
    given = {each: value for each, value in headers if value is not None}
    for prefix in (_PREFIX, ""):
        if (text := given.get(prefix + TRACE_PARENT)) is not None:
            state = given.get(prefix + _TRACE_STATE, b"")
            return _within(_context(text.decode(errors="replace"), state.decode(errors="replace")), name, attributes)
    return nullcontext()


def traced(extensions: Mapping[str, str], name: str, attributes: Mapping[str, Any]) -> AbstractContextManager[object]:
    """Return the same context for an event that was read, by its extensions.

    The trace of a replayed event is over: its context is a trace of its own, with a link to the first.
    """
    if TRACE_PARENT not in extensions:
        return nullcontext()
    context = _context(extensions[TRACE_PARENT], extensions.get(_TRACE_STATE, ""))
    return _within(context, name, attributes, linked=_REPLAY in extensions)


def log_fields() -> dict[str, str]:
    """Return the ids of the current trace and span, for a line of a log; none outside of a trace."""
    if API not in sys.modules:
        return {}
    trace = _api().trace
    within = trace.get_current_span().get_span_context()
    if not within.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(within.trace_id), "span_id": trace.format_span_id(within.span_id)}


@contextmanager
def _within(
    context: Context, name: str, attributes: Mapping[str, Any], *, linked: bool = False
) -> Iterator[Span | None]:
    api, trace = _api(), _api().trace
    parent = trace.get_current_span(context).get_span_context()
    if not parent.is_valid:
        yield None  # what is in the header is no trace context
        return
    span = _tracer().start_span(
        name,
        api.none if linked else context,
        kind=trace.SpanKind.CONSUMER,
        attributes=_messaging(attributes),
        links=[trace.Link(parent)] if linked else None,
    )
    with trace.use_span(span, end_on_exit=True):
        yield span


def _context(parent: str, state: str) -> Context:
    carrier = {TRACE_PARENT: parent} | ({_TRACE_STATE: state} if state else {})
    return _api().w3c.extract(carrier, _api().none)


def _messaging(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return attributes of a span by OpenTelemetry's conventions for messaging."""
    return {"messaging.system": "kafka", **attributes}


def _tracer() -> Tracer:
    found: Tracer = _api().trace.get_tracer("meshport")
    return found
