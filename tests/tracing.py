"""Spans of a test, and traces as trees."""

from __future__ import annotations

from collections.abc import Iterable

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler


class Spans:
    """Collects the spans of one test, by an SDK that is not the process's.

    Args:
        sampler: of the traces.
    """

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider(sampler=sampler)
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self._provider.get_tracer("tests")

    @property
    def finished(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended."""
        return self._exporter.get_finished_spans()

    def close(self) -> None:
        """End the SDK."""
        self._provider.shutdown()


def tree(spans: Iterable[ReadableSpan]) -> list[str]:
    """The names of a trace's spans, each below its parent and indented by it."""
    spans = sorted(spans, key=lambda each: each.start_time or 0)

    def below(parent: int | None, depth: int) -> list[str]:
        lines = []
        for each in spans:
            if (each.parent.span_id if each.parent else None) == parent:
                lines += ["  " * depth + each.name, *below(each.context.span_id if each.context else None, depth + 1)]
        return lines

    return below(None, 0)
