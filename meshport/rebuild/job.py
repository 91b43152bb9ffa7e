"""A rebuild from beginning to end. Whatever is killed on the way leaves the live generation bound and whole.

1. A new generation is opened, or the one that the same logic had begun goes on, and its topics are made.
2. The batch engine processes the history of the input into it, while the live processor goes on.
3. The processors of the port are told to stand still; both generations are brought to one place of the input (`cut`);
   then processors go on, and what the generations hold up to there is compared.
4. If it is to be swapped: they stand still once more, both are brought to the place where the input is by now, what came
   since is compared, and the registry binds the address to the new one, with the place where readers go on.

A product whose input was rebuilt is rebuilt in turn, up to the place where its input goes on (`inputs`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from meshport.address import Address, names_of
from meshport.binding import Binding
from meshport.errors import NotRegistered, ProcessError, RegistryUnavailable
from meshport.generations import Generations, GenerationState, Phase, Switch
from meshport.kafka.admin import Admin
from meshport.process import batch, load_pipeline, make_plan
from meshport.process.advance import MEMBER, advance
from meshport.process.kafkalog import KafkaLog
from meshport.process.plan import Plan
from meshport.process.supervisor import Progress
from meshport.project import ProjectProduct
from meshport.rebuild.compare import Comparison, compare
from meshport.rebuild.cut import Cut, cut, cut_between, is_exact
from meshport.rebuild.hold import HOLD_S, Held
from meshport.rebuild.inputs import counted_on
from meshport.registry import PortGenerations, Registry

_LOOK_S: Final = 0.2
# A live processor asks every other second whether it is to stand still, and then finishes its batch; one that was
# killed is a member of its group for 8 s more.
_STANDSTILL_S: Final = 60.0
_ANSWER_S: Final = 1.0
_TRIES: Final = 5


class Swap(StrEnum):
    """When the address is bound to the new generation."""

    NEVER = "never"
    EQUAL = "equal"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a rebuild.

    Attributes:
        address: of the port.
        generation: the new one.
        topic: of it.
        processed: what became of the history.
        seconds: how long that took.
        comparison: of what both hold up to the first place that they were brought to.
        compared_s: how long it took to bring them there and to compare.
        stretch: of what came between there and the switch; None where nothing was swapped.
        standstill_s: how long the processors of the port stood still for the switch.
        binding: after the switch; None where nothing was swapped.
    """

    address: Address
    generation: int
    topic: str
    processed: Progress
    seconds: float
    comparison: Comparison
    compared_s: float
    stretch: Comparison | None = None
    standstill_s: float = 0.0
    binding: Binding | None = None

    @property
    def equal(self) -> bool:
        """Whether the generations hold the same."""
        return self.comparison.equal and (self.stretch is None or self.stretch.equal)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON data."""
        return {
            "address": str(self.address),
            "generation": self.generation,
            "topic": self.topic,
            "read": self.processed.read,
            "written": self.processed.written,
            "late": self.processed.late,
            "quarantined": self.processed.quarantined,
            "seconds": round(self.seconds, 3),
            "comparison": self.comparison.as_dict(),
            "comparedSeconds": round(self.compared_s, 3),
            "stretch": None if self.stretch is None else self.stretch.as_dict(),
            "standstillSeconds": round(self.standstill_s, 3),
            "swapped": self.binding is not None,
        }


class Rebuild:
    """Rebuilds the default port of a derived product, once.

    Args:
        product: of a project.
        mesh: a registry.
        say: gets lines for people.
        on_progress: called with (offsets read, offsets in all) of whatever is read.
        hold_s: for how long the claim on the new generation outlives this process.

    Raises:
        ProcessError: the product is not built by a processor.
        NotRegistered: the product, or what it reads, is not registered.
    """

    def __init__(
        self,
        product: ProjectProduct,
        mesh: Registry,
        *,
        say: Callable[[str], None] = lambda _: None,
        on_progress: Callable[[int, int], None] | None = None,
        hold_s: float = HOLD_S,
    ) -> None:
        self._mesh = mesh
        self._say = say
        self._on_progress = on_progress
        self._hold_s = hold_s
        live = mesh.refresh(product.product.address)
        pipeline = load_pipeline(product.product, product.folder)
        for read in (pipeline.input, *pipeline.joined):
            mesh.refresh(read)
        self._plan = make_plan(pipeline, live.address, mesh)
        counted = counted_on(self._plan)
        self._old, self._continues = counted.plan, counted.continues
        self._made_by = logic_of(product, self._plan)
        self._line = mesh.generations(live.address)
        self._admin = Admin(live.bootstrap_servers)

    def run(self, swap: Swap = Swap.NEVER) -> Report:
        """Build, compare, and swap if it is wanted; see the module.

        Raises:
            RegistrationRefused: somebody else rebuilds it, or this process lost its claim while it was stopped.
            ProcessError: the state of either generation is damaged; or of another logic, where the hint says what to do.
            KafkaError, RegistryUnavailable: no answer; nothing is lost, call it again.
        """
        with Held(self._line, self._made_by, seconds=self._hold_s) as held:
            return self._run(held, swap)

    def _run(self, held: Held, swap: Swap) -> Report:
        self._clear(held.opened)
        new = self._open(held)
        began = time.perf_counter()
        processed = self._fill(new)
        seconds = time.perf_counter() - began
        held.check()
        at = self._cut(held, new)
        held.move(Phase.BUILD)
        found = compare(self._old, new, self._mesh, (at.ends, at.begins), on_progress=self._on_progress)
        compared_s = time.perf_counter() - began - seconds
        report = Report(self._line.line, new.output.generation, new.output.topic, processed, seconds, found, compared_s)
        if swap is Swap.NEVER or (swap is Swap.EQUAL and not report.equal):
            return report
        began = time.perf_counter()
        after = self._cut(held, new)
        begins = (at.ends, at.begins)
        stretch = compare(self._old, new, self._mesh, (after.ends, after.begins), begins=begins)
        report = replace(report, stretch=stretch)
        if swap is Swap.EQUAL and not stretch.equal:
            return report
        held.check()
        binding = self._bound(new.output.generation, Switch(holder=held.holder, ends=after.ends, begins=after.begins))
        self._say(f"{self._line.line} is bound to generation {binding.generation} ({binding.topic})")
        return replace(report, binding=binding, standstill_s=time.perf_counter() - began)

    def _clear(self, generations: Generations) -> None:
        """Delete what was given up and never read."""
        for each in generations.generations:
            if each.state is GenerationState.ABANDONED:
                self._say(f"generation {each.number} was begun by another logic; it is deleted")
                retire(self._line, each.number, self._admin)

    def _open(self, held: Held) -> Plan:
        generation, live = held.generation, self._old.output
        found = self._admin.topic(live.topic)
        if found is None:
            raise ProcessError(f"the topic {live.topic} is not there", hint="`meshport apply` makes it")
        made = self._admin.ensure_topic(generation.topic, live.partitions, found.config)
        self._say(
            f"generation {generation.number} of {live.address}: {'begun' if made else 'goes on'} ({generation.topic})"
        )
        return replace(
            self._plan, output=live.model_copy(update={"topic": generation.topic, "generation": generation.number})
        )

    def _fill(self, new: Plan) -> Progress:
        def told(progress: Progress) -> None:
            if self._on_progress is not None and progress.lag is not None:
                self._on_progress(progress.read, progress.read + progress.lag)

        if self._continues is not None:
            # No further than the live one can be brought, whose input has ended there.
            counts = advance(new, self._mesh, self._continues.begins, on_progress=self._on_progress)
            return Progress(counts.read, counts.written, counts.late, counts.quarantined)
        return batch.run_processor(new, self._mesh, until_end=True, member=MEMBER, on_progress=told)

    def _cut(self, held: Held, new: Plan) -> Cut:
        """Both generations at one place; processors stand still until the hold moves on."""
        held.move(Phase.HANDOVER)
        for _ in range(_TRIES):
            self._await_standstill()
            # A new one each time: what was read by one before comes back a second later, by librdkafka's way of pausing.
            log = KafkaLog(self._old.output.bootstrap_servers)
            try:
                if self._continues is None:
                    at = cut(self._old, new, self._mesh, log, on_progress=self._on_progress)
                else:
                    at = cut_between(self._old, new, self._mesh, log, self._continues, on_progress=self._on_progress)
            finally:
                log.close()
            # One that asked the registry a moment before the handover began may have joined only now.
            if not self._admin.members(self._old.group) and is_exact(at, self._old):
                return at
            self._say(f"{self._old.group} was started meanwhile; once more")
        raise ProcessError(
            f"{self._old.group} is started again and again", hint="end what runs it, and call this again"
        )

    def _await_standstill(self) -> None:
        deadline = time.monotonic() + _STANDSTILL_S
        told = False
        while count := self._admin.members(self._old.group):
            if not told:
                self._say(f"waiting for the live processor ({self._old.group}) to stand still")
                told = True
            if time.monotonic() > deadline:
                raise ProcessError(
                    f"{self._old.group} still has {count} members after {_STANDSTILL_S:g} s",
                    hint="`meshport run` and `meshport up` stand still by themselves; end what else runs it",
                )
            time.sleep(_LOOK_S)

    def _bound(self, number: int, switch: Switch) -> Binding:
        deadline = time.monotonic() + self._hold_s
        while True:
            try:
                return self._line.switch(number, switch)
            except RegistryUnavailable:
                # Whether it is bound is not known; asked again, it says so.
                if time.monotonic() > deadline:
                    raise
                time.sleep(_ANSWER_S)


def retire(line: PortGenerations, number: int, admin: Admin) -> list[str]:
    """Delete a generation that was replaced or given up: first nobody is led to it any more, then its topics go.

    Args:
        line: the port's generations.
        number: of the generation.
        admin: of the cluster.

    Returns:
        The topics that were deleted.

    Raises:
        NotRegistered: there is no such generation.
        RegistrationRefused: it is bound, or being built.
    """
    topic = next((each.topic for each in line.list().generations if each.number == number), None)
    if topic is None:
        raise NotRegistered(f"{line.line} has no generation {number}")
    line.retire(number)
    known = admin.partitions()
    gone = [each for each in names_of(topic) if each in known]
    for each in gone:
        admin.delete_topic(each)
    return gone


def left_behind(binding: Binding, number: int, admin: Admin) -> list[str]:
    """The groups that have a place in a replaced generation and have not read it to its end.

    Args:
        binding: of the port, as it is now.
        number: of the generation.
        admin: of the cluster.
    """
    kept = next((each for each in binding.continues if each.generation == number), None)
    if kept is None:
        return []
    return sorted(
        group
        for group, places in admin.places(kept.topic).items()
        if any(places.get(partition, 0) < end for partition, end in kept.ends.items())
    )


def logic_of(product: ProjectProduct, plan: Plan) -> str:
    """What tells one logic from another: the product's own files, its contract, and the topics that it reads."""
    told = hashlib.sha256()
    files = sorted(
        each for each in Path(product.folder).rglob("*") if each.suffix in {".py", ".yaml"} and each.is_file()
    )
    for file in files:
        told.update(str(file.relative_to(product.folder)).encode() + b"\0" + file.read_bytes() + b"\0")
    read = sorted(each.topic for each in (plan.source, *plan.tables.values()))
    told.update(" ".join([plan.output.fingerprint, plan.shape, *read]).encode())
    return told.hexdigest()
