"""A live processor that stands still while its port is handed over, and goes on with the generation that is bound then."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol, Self

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import NotRegistered, RegistryUnavailable
from meshport.process import load_pipeline, make_plan
from meshport.process.runtime.watchdog import ProcessorProgress
from meshport.process.wire.plan import Plan
from meshport.project.project import ProjectProduct
from meshport.rebuild.pinned_inputs import pin_inputs
from meshport.registry import Registry

LOOK_S: Final = 2.0
"""How often a live processor asks the registry; so long a handover waits for it, and a bit more."""


class LivePlan:
    """Makes the plan of a product, from bindings as they are then.

    The logic stays what it was, so that an edit of the product's files is no part of a processor that runs; but a
    generation that is bound anew goes on with what the files hold now, as they have built it. Its input is the generation
    that its state counts on.

    Args:
        product_of: reads the product.
        mesh: a registry.
    """

    def __init__(self, product_of: Callable[[], ProjectProduct], mesh: Registry) -> None:
        self._product_of = product_of
        self._mesh = mesh
        self._product = product_of()
        self._pipeline = load_pipeline(self._product.product, self._product.folder)
        self._generation: int | None = None

    def __call__(self) -> Plan:
        """The plan.

        Raises:
            NotRegistered: a port is not registered.
            ProcessError: the pipeline cannot be run over these ports.
        """
        address = self._product.product.address
        bound = self._bound(address).generation
        if self._generation not in {None, bound}:
            self._product = self._product_of()
            self._pipeline = load_pipeline(self._product.product, self._product.folder)
        self._generation = bound
        plan = make_plan(self._pipeline, address, self._mesh)
        # Where its input was rebuilt, it can only read to its end what it has begun.
        return pin_inputs(plan).plan

    def _bound(self, address: Address) -> Binding:
        """What the registry says now: a processor that began with what was bound before would restore its state for nothing."""
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
    """Run what builds a port, whichever generation of it is bound, until it is told to stop.

    A registry that does not answer changes nothing: the processor goes on.

    Args:
        plan_of: makes the plan, from bindings as they are then.
        mesh: a registry.
        run: of the engine.
        say: gets lines for people.
        on_progress: told of the progress about once a second.
        stop: ends it from another thread.
        look_s: seconds between two questions to the registry.

    Raises:
        MeshError: as of `run` and `plan_of`.
    """
    stop = stop or threading.Event()
    while True:
        plan = plan_of()
        if _is_handed_over(plan, mesh):
            say(f"{plan.output.address} is being handed over to a new generation; waiting")
            while _is_handed_over(plan, mesh) and not stop.wait(look_s):
                pass
            mesh.refresh(plan.output.address)
            plan = plan_of()
        for each in plan.sources:
            bound = mesh.resolve(each.binding.address)
            if bound.topic != each.binding.topic:
                say(
                    f"{bound.address} is bound to generation {bound.generation}; {plan.output.address} counts on generation "
                    f"{each.binding.generation}, which has ended: `meshport rebuild {plan.output.address.of_product.key} "
                    "--swap equal` brings it on"
                )
        with _Watch(plan, mesh, stop, look_s) as watch:
            progress = run(plan, mesh, stop=watch.ending, on_progress=on_progress)
        if stop.is_set() or watch.why is None:
            return progress
        say(watch.why)
        mesh.refresh(plan.output.address)


def _is_handed_over(plan: Plan, mesh: Registry) -> bool:
    try:
        return mesh.generations(plan.output.address).list().is_handed_over
    except RegistryUnavailable:
        return False


class _Watch:
    """Tells a processor to end, and why, when its port is handed over or was bound anew.

    Attributes:
        ending: set when the processor is to end; by us, by whoever set the event that we were given, or by a signal.
        why: what we ended it for; None where it was not us.
    """

    def __init__(self, plan: Plan, mesh: Registry, stop: threading.Event, look_s: float) -> None:
        self.ending = threading.Event()
        self.why: str | None = None
        self._mesh = mesh
        self._line = mesh.generations(plan.output.address)
        self._generation = plan.output.generation
        self._inputs = {each.address: mesh.resolve(each.address).topic for each in plan.reads}
        self._stop = stop
        self._look_s = look_s
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=each, name=f"watch {plan.output.topic}", daemon=True)
            for each in (self._watch, self._follow)
        ]

    def _follow(self) -> None:
        while not self._done.wait(0.1):
            if self._stop.is_set():
                self.ending.set()
                return

    def _watch(self) -> None:
        while not self._done.wait(self._look_s):
            try:
                found = self._line.list()
                moved = [each for each, topic in self._inputs.items() if self._mesh.resolve(each).topic != topic]
            except (RegistryUnavailable, NotRegistered):
                continue
            if found.is_handed_over:
                self.why = f"{self._line.line} is being handed over to a new generation; standing still"
            elif found.live.number != self._generation:
                self.why = f"{self._line.line} is bound to generation {found.live.number} now; going on there"
            elif moved:
                self.why = f"{moved[0]} was bound to another generation"
            if self.why is not None:
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
