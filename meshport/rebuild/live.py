"""A live processor: it pauses while its port switches to another generation, and waits for a registry that is away.

Without a registry it goes on with every schema that it knows. Where it needs the registry, at its start or for a schema that it
meets for the first time, it waits outside of its consumer group, and restores its state when the registry answers.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, Protocol, Self

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import NotRegistered, RegistryUnavailable
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.ports.history import Missing
from meshport.ports.registry_outage import await_answer, is_outage
from meshport.process import load_pipeline, make_plan
from meshport.process.runtime.watchdog import ProcessorProgress
from meshport.process.wire.plan import Plan
from meshport.project.project import ProjectProduct
from meshport.rebuild.pinned_inputs import pin_inputs
from meshport.registry import Registry

_log: Final = logging.getLogger(__name__)

LOOK_S: Final = 2.0
"""Seconds between two requests of a live processor to the registry; a rebuild waits this long, and a bit more, for its pause."""

# After a schema was asked for in vain, lest a registry that answers all but that one has the state restored all the time.
_PAUSE_S: Final = 5.0


class LivePlan:
    """Makes the plan of a product from the current bindings.

    The logic stays that of the start, so that an edit of the product's files does not reach a running processor. After a
    switch to a new generation it is read again from the files, from which the generation was built. The plan reads the
    generation of its inputs that its state was built from.

    Args:
        product_of: reads the product.
        mesh: a registry.
        missing: whether the processor may go on where input that it has not processed is removed from the log.
        kafka: the connections to Kafka; servers that they name win over the bindings'.
    """

    def __init__(
        self,
        product_of: Callable[[], ProjectProduct],
        mesh: Registry,
        missing: Missing = Missing.REFUSE,
        *,
        kafka: KafkaAccess = PLAINTEXT,
    ) -> None:
        self._product_of = product_of
        self._mesh = mesh
        self._missing = missing
        self._kafka = kafka
        self._product = product_of()
        self._pipeline = load_pipeline(self._product.product, self._product.folder)
        self._generation: int | None = None

    def __call__(self) -> Plan:
        """Return the plan.

        Raises:
            NotRegistered: a port is not registered.
            ProcessError: the pipeline cannot be run over these ports.
        """
        address = self._product.product.address
        bound = self._binding(address).generation
        if self._generation not in {None, bound}:
            self._product = self._product_of()
            self._pipeline = load_pipeline(self._product.product, self._product.folder)
        self._generation = bound
        made = make_plan(self._pipeline, address, self._mesh, kafka=self._kafka)
        plan = replace(made, missing=self._missing)
        # Where an input was rebuilt, the processor can only read the replaced generation to its end.
        return pin_inputs(plan).plan

    def _binding(self, address: Address) -> Binding:
        """Return the registry's present binding; with an outdated one the processor would restore its state in vain."""
        try:
            return self._mesh.refresh(address)
        except RegistryUnavailable:
            return self._mesh.resolve(address)


class RunProcessor(Protocol):
    """The `run_processor` of an engine."""

    def __call__(
        self,
        plan: Plan,
        schemas: Registry,
        *,
        stop: threading.Event,
        on_progress: Callable[[ProcessorProgress], None] | None,
    ) -> ProcessorProgress:
        """Run a processor until `stop` is set, or until a signal sets it."""
        ...


def run_live(
    plan_of: Callable[[], Plan],
    mesh: Registry,
    run: RunProcessor,
    *,
    say: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[ProcessorProgress], None] | None = None,
    stop: threading.Event | None = None,
    look_s: float = LOOK_S,
) -> ProcessorProgress:
    """Run the processor of a port, whichever generation is bound, until it is stopped.

    A registry that does not answer changes nothing: the processor continues. At the start, and for a schema that it has not
    met before, the processor waits until the registry answers; `meshport.ports.registry_outage` logs it.

    Args:
        plan_of: makes the plan from the current bindings.
        mesh: a registry.
        run: of the engine.
        say: called with lines for people.
        on_progress: called with the progress about once a second.
        stop: an event that stops the processor when another thread sets it.
        look_s: seconds between two requests to the registry.

    Raises:
        MeshError: as `run` and `plan_of`.
    """
    stop = stop or threading.Event()
    progress, waiter, next_plan = ProcessorProgress(), "the processor", plan_of
    while True:
        try:
            plan = await_answer(next_plan, stop, waiter=waiter)
            waiter, next_plan = plan.group, partial(_refreshed, plan_of, mesh, plan.output.address)
            if _is_handed_over(plan, mesh):
                say(f"{plan.output.address} is switching to a new generation; waiting")
                while _is_handed_over(plan, mesh) and not stop.wait(look_s):
                    pass
                plan = await_answer(next_plan, stop, waiter=waiter)
            _report_ended_inputs(plan, mesh, say)
            with _SwitchWatch(plan, mesh, stop, look_s) as watch:
                progress = run(plan, mesh, stop=watch.ending, on_progress=on_progress)
            if stop.is_set() or watch.reason is None:
                return progress
            say(watch.reason)
        except RegistryUnavailable as error:
            if stop.is_set():
                return progress
            if not is_outage(error):
                raise
            _log.warning("%s has stopped reading: %s", waiter, error.message, extra={"facts": error.facts})
            stop.wait(_PAUSE_S)


def _refreshed(plan_of: Callable[[], Plan], mesh: Registry, output: Address) -> Plan:
    """Return the plan from the bindings that the registry has now, not from those of the client's cache."""
    mesh.refresh(output)
    return plan_of()


def _report_ended_inputs(plan: Plan, mesh: Registry, say: Callable[[str], None]) -> None:
    for each in plan.sources:
        bound = mesh.resolve(each.binding.address)
        if bound.topic != each.binding.topic:
            say(
                f"{bound.address} is bound to generation {bound.generation}; {plan.output.address} expects generation "
                f"{each.binding.generation}, which has ended: `meshport rebuild {plan.output.address.of_product.key} "
                "--swap equal` brings it on"
            )


def _is_handed_over(plan: Plan, mesh: Registry) -> bool:
    try:
        return mesh.generations(plan.output.address).list().is_handed_over
    except RegistryUnavailable:
        return False


class _SwitchWatch:
    """Ends a processor when its port or one of its inputs switches to another generation. Use it as a context manager.

    Args:
        plan: what the processor runs.
        mesh: a registry.
        stop: the caller's event; `ending` follows it.
        look_s: seconds between two requests to the registry.

    Attributes:
        ending: set when the processor is to end: by this watch, by `stop`, or by a signal.
        reason: why this watch ended the processor; None where it did not.
    """

    def __init__(self, plan: Plan, mesh: Registry, stop: threading.Event, look_s: float) -> None:
        self.ending = threading.Event()
        self.reason: str | None = None
        self._mesh = mesh
        self._line = mesh.generations(plan.output.address)
        self._generation = plan.output.generation
        self._inputs = {each.address: mesh.resolve(each.address).topic for each in plan.reads}
        self._stop = stop
        self._look_s = look_s
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=each, name=f"watch {plan.output.topic}", daemon=True)
            for each in (self._watch_registry, self._follow_stop)
        ]

    def _follow_stop(self) -> None:
        while not self._done.wait(0.1):
            if self._stop.is_set():
                self.ending.set()
                return

    def _watch_registry(self) -> None:
        while not self._done.wait(self._look_s):
            try:
                found = self._line.list()
                moved = [each for each, topic in self._inputs.items() if self._mesh.resolve(each).topic != topic]
            except (RegistryUnavailable, NotRegistered):
                continue
            if found.is_handed_over:
                self.reason = f"{self._line.line} is switching to a new generation; paused"
            elif found.live.number != self._generation:
                self.reason = f"{self._line.line} is bound to generation {found.live.number} now; continuing there"
            elif moved:
                self.reason = f"{moved[0]} was bound to another generation"
            if self.reason is not None:
                self.ending.set()
                return

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for each in self._threads:
            each.join()
