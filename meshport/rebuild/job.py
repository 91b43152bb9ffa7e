"""A rebuild from beginning to end. Whatever is killed on the way leaves the live generation bound and whole.

1. A new generation is opened, or the one that the same logic had begun goes on, and its topics are made.
2. The history of the input is processed into it by the batch engine's worker, while the live processor goes on.
3. It follows the live one until little is between them. Then the processors of the port are told to stand still, both
   generations are brought to one place of the input (`cut`), and processors go on. What they hold up to there is compared.
4. If it is to be swapped: it follows once more, processors stand still once more, both are brought to one place, what came
   since is compared, and the registry binds the address to the new one, with the place where readers go on.

The state of the new generation stays in memory from step 2 on: while processors stand still only what came in a moment is
processed.

A product whose input was rebuilt is rebuilt in turn, up to the place where its input goes on (`inputs`).
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from meshport.address import Address, names_of
from meshport.binding import Binding, Continuation
from meshport.errors import NotRegistered, ProcessError, RegistryUnavailable
from meshport.generations import Generations, GenerationState, Phase, Switch
from meshport.kafka.admin import Admin
from meshport.kafka.topic_partition import TopicPartition
from meshport.process import load_pipeline, make_plan
from meshport.process.engines.bounded import BoundedProcessor, input_stages
from meshport.process.runtime.kafka_log import CHANGELOG, CHANGELOG_WHILE_BUILT, KafkaLog
from meshport.process.stages.partition import Counts
from meshport.process.wire.plan import Plan, processor_group
from meshport.project.project import ProjectProduct
from meshport.rebuild.alignment import Alignment, GenerationAligner, begins_of
from meshport.rebuild.compare import GenerationComparison, compare
from meshport.rebuild.lease import LEASE_S, BuildLease
from meshport.rebuild.pinned_inputs import pin_inputs
from meshport.registry import PortGenerations, Registry

_LOOK_S: Final = 0.2
# A live processor asks every other second whether it is to stand still, and then finishes its batch; one that was
# killed is a member of its group for 8 s more.
_STANDSTILL_S: Final = 120.0
# After the first stop it restores its state, which of millions of rows takes a minute; one that ended by itself does not.
_BACK_S: Final = 300.0
_ANSWER_S: Final = 1.0
_TRIES: Final = 5
# What takes the new generation so long to catch up with is little enough to be done while processors stand still.
_NEAR_S: Final = 2.0


class Swap(StrEnum):
    """When the address is bound to the new generation."""

    NEVER = "never"
    EQUAL = "equal"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class RebuildReport:
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
    processed: Counts
    seconds: float
    comparison: GenerationComparison
    compared_s: float
    stretch: GenerationComparison | None = None
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
        lease_s: for how long the claim on the new generation outlives this process.

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
        lease_s: float = LEASE_S,
    ) -> None:
        self._mesh = mesh
        self._say = say
        self._on_progress = on_progress
        self._hold_s = lease_s
        live = mesh.refresh(product.product.address)
        pipeline = load_pipeline(product.product, product.folder)
        for read in (pipeline.input, *pipeline.joined):
            mesh.refresh(read)
        self._plan = make_plan(pipeline, live.address, mesh)
        counted = pin_inputs(self._plan)
        self._old, self._continues = counted.plan, counted.continues
        self._made_by = logic_digest(product, self._plan)
        self._line = mesh.generations(live.address)
        self._admin = Admin(self._plan.kafka)
        self._held_from, self._is_live = 0.0, False

    def run(self, swap: Swap = Swap.NEVER) -> RebuildReport:
        """Build, compare, and swap if it is wanted; see the module.

        Raises:
            RegistrationRefused: somebody else rebuilds it, or this process lost its claim while it was stopped.
            ProcessError: the state of either generation is damaged; or of another logic, where the hint says what to do.
            KafkaError, RegistryUnavailable: no answer; nothing is lost, call it again.
        """
        with BuildLease(self._line, self._made_by, seconds=self._hold_s) as held:
            return self._run(held, swap)

    def _run(self, held: BuildLease, swap: Swap) -> RebuildReport:
        self._clear(held.opened)
        new = self._open(held)
        began = time.perf_counter()
        with ExitStack() as stack:
            building = stack.enter_context(BoundedProcessor(new, self._mesh, on_progress=self._on_progress))
            self._keep_changes(new, CHANGELOG_WHILE_BUILT)
            processed = building.advance_to(self._history(building))
            building.commit_offsets()
            seconds = time.perf_counter() - began
            held.check()
            cutting = stack.enter_context(
                closing(
                    GenerationAligner(self._old, building, self._mesh, self._continues, on_progress=self._on_progress)
                )
            )
            at = self._cut(held, cutting)
            held.move(Phase.BUILD)
            found = compare(self._old, new, self._mesh, (at.ends, at.begins), on_progress=self._on_progress)
            compared_s = time.perf_counter() - began - seconds
            report = RebuildReport(
                self._line.line, new.output.generation, new.output.topic, processed, seconds, found, compared_s
            )
            if swap is Swap.NEVER or (swap is Swap.EQUAL and not report.equal):
                return report
            return self._swapped(held, cutting, at, report, swap)

    def _swapped(
        self, held: BuildLease, cutting: GenerationAligner, at: Alignment, report: RebuildReport, swap: Swap
    ) -> RebuildReport:
        self._await_at_work(cutting, at)
        after = self._cut(held, cutting)
        ends, begins = (after.ends, after.begins), (at.ends, at.begins)
        stretch = compare(self._old, cutting.new, self._mesh, ends, begins=begins)
        report = replace(report, stretch=stretch)
        if swap is Swap.EQUAL and not stretch.equal:
            return report
        held.check()
        self._keep_changes(cutting.new, CHANGELOG)
        binding = self._bound(report.generation, Switch(holder=held.holder, ends=after.ends, begins=after.begins))
        self._say(f"{self._line.line} is bound to generation {binding.generation} ({binding.topic})")
        return replace(report, binding=binding, standstill_s=time.perf_counter() - self._held_from)

    def _clear(self, generations: Generations) -> None:
        """Delete what was given up and never read."""
        for each in generations.generations:
            if each.state is GenerationState.ABANDONED:
                self._say(f"generation {each.number} was begun by another logic; it is deleted")
                retire(self._line, each.number, self._admin)

    def _open(self, held: BuildLease) -> Plan:
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

    def _keep_changes(self, new: Plan, settings: Mapping[str, str]) -> None:
        """Say for how long the state's changelogs keep what rows were."""
        for stage in new.stages:
            self._admin.set_config(stage.changelog, settings)

    def _history(self, building: BoundedProcessor) -> dict[TopicPartition, int]:
        """Where the input ends now; or where the old generation's input goes on in it."""
        log = KafkaLog(building.plan.kafka)
        try:
            found = {
                TopicPartition(stage.topic, partition): end
                for stage in input_stages(building.plan)
                for partition, (_, end) in log.decided(stage.topic).items()
            }
        finally:
            log.close()
        # No further than the live one can be brought, whose input has ended there.
        found |= begins_of(self._continues)
        return found

    def _cut(self, held: BuildLease, cutting: GenerationAligner) -> Alignment:
        """Both generations at one place; processors stand still until the hold moves on."""
        self._follow(cutting)
        self._is_live = self._admin.members(self._old.group) > 0
        self._held_from = time.perf_counter()
        held.move(Phase.HANDOVER)
        for _ in range(_TRIES):
            self._await_standstill()
            at = cutting.cut()
            # One that asked the registry a moment before the handover began may have joined only now.
            if not self._admin.members(self._old.group) and cutting.is_exact(at):
                return at
            self._say(f"{self._old.group} was started meanwhile; once more")
        raise ProcessError(
            f"{self._old.group} is started again and again", hint="end what runs it, and call this again"
        )

    def _await_at_work(self, cutting: GenerationAligner, since: Alignment) -> None:
        """Let the live processor come back from its first stop: to take up its state may take longer than the stop."""
        deadline = time.monotonic() + _BACK_S
        while self._is_live and not cutting.is_at_work(since) and time.monotonic() < deadline:
            time.sleep(_ANSWER_S)

    def _follow(self, cutting: GenerationAligner) -> None:
        """Bring the new generation near to the live one, which goes on: what is left is processed while it stands still."""
        for _ in range(_TRIES):
            began = time.perf_counter()
            cutting.follow()
            if time.perf_counter() - began < _NEAR_S:
                break

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


def unfinished_groups(binding: Binding, number: int, admin: Admin) -> list[str]:
    """The groups that have a place in a replaced generation and have not read it to its end.

    Args:
        binding: of the port, as it is now.
        number: of the generation.
        admin: of the cluster.
    """
    kept = _replaced(binding, number)
    if kept is None:
        return []
    return sorted(
        group
        for group, places in admin.places(kept.topic).items()
        if any(places.get(partition, 0) < end for partition, end in kept.ends.items())
    )


def dependent_products(mesh: Registry, binding: Binding, number: int, admin: Admin) -> list[Address]:
    """The products whose state counts on a replaced generation: each has to be rebuilt in turn before that may go.

    Args:
        mesh: a registry.
        binding: of the port, as it is now.
        number: of the generation.
        admin: of the cluster.
    """
    kept = _replaced(binding, number)
    if kept is None:
        return []
    then, now = admin.places(kept.topic), admin.places(binding.topic)
    found = []
    for reader in mesh.readers(binding.address):
        try:
            group = processor_group(mesh.refresh(reader.address).topic)
        except NotRegistered:
            continue  # it has no port that anything could build
        if group in then and group not in now:
            found.append(reader.address)
    return found


def _replaced(binding: Binding, number: int) -> Continuation | None:
    """How a replaced generation goes on; None where the port has none of that number."""
    return next((each for each in binding.continues if each.generation == number), None)


def logic_digest(product: ProjectProduct, plan: Plan) -> str:
    """What tells one logic from another: the product's own files, its contract, and the topics that it reads."""
    told = hashlib.sha256()
    files = sorted(
        each for each in Path(product.folder).rglob("*") if each.suffix in {".py", ".yaml"} and each.is_file()
    )
    for file in files:
        told.update(str(file.relative_to(product.folder)).encode() + b"\0" + file.read_bytes() + b"\0")
    read = sorted(each.topic for each in plan.reads)
    told.update(" ".join([plan.output.fingerprint, plan.shape, *read]).encode())
    return told.hexdigest()
