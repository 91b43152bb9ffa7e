"""A rebuild from beginning to end. A kill at any point leaves the live generation bound and complete.

1. A new generation is opened, or the one that the same logic began before is continued, and its topics are created.
2. The history of the inputs is processed into it in transactions, while the live processor continues.
3. The new generation follows the live one until little lies between them. Then the processors of the port are paused, both
   generations are aligned at the same input offsets (`alignment`), and processors resume. What both hold up to there is
   compared.
4. For a switch, the new generation follows once more, processors are paused once more, both are aligned, what was written
   since is compared, and the registry binds the address to the new generation, with the offsets at which readers continue.

The state of the new generation stays in memory from step 2 on, so that only the events of a moment are processed while
processors are paused.

A product whose input was rebuilt is rebuilt in turn, up to the offsets where its input continues (`pinned_inputs`).

Where the state of the live generation is damaged, it cannot be brought to the offsets of the new one. The new generation is
then begun again and built up to the offsets that the outputs of the live one reflect (`input_offsets`); its processor goes on
from there.
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

from meshport.address import Address
from meshport.binding import Binding
from meshport.errors import ProcessError, RegistryUnavailable, StateDamaged
from meshport.generations import Phase, Switch
from meshport.kafka.admin import Admin
from meshport.kafka.clusters import KafkaAccess
from meshport.kafka.config import PLAINTEXT
from meshport.kafka.consumer import Consumer
from meshport.kafka.topic_log import TopicLogs
from meshport.kafka.topic_partition import TopicPartition
from meshport.ports.earlier_lines import earlier_lines
from meshport.ports.history import Missing, removed_history
from meshport.process import load_pipeline, make_plan
from meshport.process.engines.bounded import BoundedProcessor, input_stages
from meshport.process.runtime.kafka_log import KafkaLog
from meshport.process.runtime.log_watch import present_plan
from meshport.process.runtime.own_topics import CHANGELOG, CHANGELOG_WHILE_BUILT
from meshport.process.stages.partition import Counts
from meshport.process.wire.plan import Plan
from meshport.project.project import ProjectProduct
from meshport.rebuild.alignment import Alignment, GenerationAligner
from meshport.rebuild.compare import compare
from meshport.rebuild.comparison import GenerationComparison
from meshport.rebuild.generation_topic import declared_port, make_generation_topic
from meshport.rebuild.input_offsets import FixedOffsets, begins_of, offsets_of_remade, output_offsets, switched
from meshport.rebuild.lease import LEASE_S, BuildLease
from meshport.rebuild.pinned_inputs import pin_inputs
from meshport.rebuild.retire import delete_abandoned
from meshport.registry import Registry

_LOOK_S: Final = 0.2
# A live processor asks every other second whether to pause, and then finishes its batch. A killed one remains a member of its
# group for 8 s.
_PAUSE_S: Final = 120.0
# After the first pause the processor restores its state, which takes a minute for millions of rows.
_RESUME_S: Final = 300.0
_ANSWER_S: Final = 1.0
_TRIES: Final = 5
# Once the new generation catches up in so few seconds, processors can be paused for the rest.
_NEAR_S: Final = 2.0


class Swap(StrEnum):
    """When a rebuild binds the address to the new generation."""

    NEVER = "never"
    EQUAL = "equal"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class RebuildReport:
    """The result of a rebuild.

    Attributes:
        address: of the port.
        generation: the number of the new generation.
        topic: of the new generation.
        processed: what became of the events of the history.
        seconds: how long the history took.
        comparison: of the outputs up to the first alignment.
        compared_s: how long the first alignment and its comparison took, seconds.
        last_comparison: of the outputs between the first alignment and the switch; None without a switch.
        paused_s: how long the processors of the port were paused for the switch, seconds.
        binding: the binding after the switch; None without a switch.
    """

    address: Address
    generation: int
    topic: str
    processed: Counts
    seconds: float
    comparison: GenerationComparison
    compared_s: float
    last_comparison: GenerationComparison | None = None
    paused_s: float = 0.0
    binding: Binding | None = None

    @property
    def equal(self) -> bool:
        """Whether both generations hold the same outputs."""
        return self.comparison.equal and (self.last_comparison is None or self.last_comparison.equal)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as JSON data."""
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
            "stretch": None if self.last_comparison is None else self.last_comparison.as_dict(),
            "standstillSeconds": round(self.paused_s, 3),
            "swapped": self.binding is not None,
        }


class Rebuild:
    """Rebuilds the default port of a derived product, once.

    Args:
        product: of a project.
        mesh: a registry.
        say: called with lines for people.
        on_progress: called with (offsets read, offsets in all) of what is being read.
        missing: whether the new generation may be built where part of its inputs' history is removed.
        lease_s: seconds for which the lease on the new generation outlives this process.
        partitions: how many the topic of the new generation has; by default as many as the product declares.
        kafka: the connections to Kafka; servers that they name win over the bindings'.
        admit: called once the topic of the new generation is there, to let readers into it before the address is bound to it.

    Raises:
        ProcessError: the product is not built by a processor.
        PartitionsAdded: an input has more partitions than its binding, and the logic cannot take them up.
        NotRegistered: the product, or a port that it reads, is not registered.
    """

    def __init__(
        self,
        product: ProjectProduct,
        mesh: Registry,
        *,
        say: Callable[[str], None] = lambda _: None,
        on_progress: Callable[[int, int], None] | None = None,
        missing: Missing = Missing.REFUSE,
        lease_s: float = LEASE_S,
        partitions: int | None = None,
        kafka: KafkaAccess = PLAINTEXT,
        admit: Callable[[], None] = lambda: None,
    ) -> None:
        self._mesh = mesh
        self._say = say
        self._admit = admit
        self._on_progress = on_progress
        self._lease_s = lease_s
        live = mesh.refresh(product.product.address)
        pipeline = load_pipeline(product.product, product.folder)
        for read in (pipeline.input, *pipeline.joined):
            mesh.refresh(read)
        plan = make_plan(pipeline, live.address, mesh, kafka=kafka)
        self._plan = present_plan(replace(plan, missing=missing))
        self._port = declared_port(product.product, live)
        self._partitions = partitions or (self._port.partitions if self._port else live.partitions)
        pinned = pin_inputs(self._plan)
        self._old, self._continues = pinned.plan, pinned.continues
        self._earlier = {
            each.binding.topic: lines
            for each in self._plan.sources
            if (lines := earlier_lines(each.binding, mesh, mesh))
        }
        self._made_by = logic_digest(product, self._plan, self._partitions)
        self._line = mesh.generations(live.address)
        self._admin = Admin(self._plan.kafka)
        self._paused_at, self._is_live = 0.0, False
        self._damaged: set[str] = set()
        self._fixed: FixedOffsets | None = None

    def run(self, swap: Swap = Swap.NEVER) -> RebuildReport:
        """Build the new generation, compare both, and switch as `swap` asks; see the module.

        Raises:
            RegistrationRefused: another process rebuilds the port, or this process lost its lease while it was stopped.
            ProcessError: the state of the live generation was made by another logic; the hint says what to do.
            HistoryMissing: the history of an input is removed in part, and `missing` does not allow it.
            KafkaError, RegistryUnavailable: no answer. Nothing is lost; call it again.
        """
        with closing(KafkaLog(self._old.kafka)) as log:
            self._fixed = offsets_of_remade(self._old, log)
        if self._fixed is not None:
            self._say(
                f"a topic of the state of {self._line.line} was made again: the new generation is built from the present "
                "topics, and readers read all of it"
            )
        while True:
            try:
                with BuildLease(self._line, self._begun_by, seconds=self._lease_s) as lease:
                    return self._run(lease, swap)
            except StateDamaged as error:
                self._begin_again(error)

    @property
    def _begun_by(self) -> str:
        """The digest under which the registry continues a generation that was begun; another one begins anew."""
        if not self._damaged:
            return self._made_by
        return hashlib.sha256(" ".join([self._made_by, *sorted(self._damaged)]).encode()).hexdigest()

    def _begin_again(self, error: StateDamaged) -> None:
        """Prepare another new generation, which does not need the state that is damaged: the old one's, or the new one's.

        Raises:
            StateDamaged: it was found before already.
        """
        if error.topic is None or error.topic in self._damaged:
            raise error
        self._damaged.add(error.topic)
        self._say(f"{error.message}; the new generation is begun again without it")
        if any(error.topic == stage.changelog for stage in self._old.stages):
            with closing(KafkaLog(self._old.kafka)) as log:
                self._fixed = FixedOffsets(output_offsets(self._old, log))

    def _run(self, lease: BuildLease, swap: Swap) -> RebuildReport:
        delete_abandoned(self._line, lease.opened, self._admin, self._say)
        new = self._open(lease)
        began = time.perf_counter()
        with ExitStack() as stack:
            building = stack.enter_context(
                BoundedProcessor(new, self._mesh, on_progress=self._on_progress, earlier=self._earlier)
            )
            self._configure_changelogs(new, CHANGELOG_WHILE_BUILT)
            processed = building.advance_to(self._history_ends(building))
            building.commit_offsets()
            seconds = time.perf_counter() - began
            lease.check()
            aligner = stack.enter_context(
                closing(
                    GenerationAligner(
                        self._old,
                        building,
                        self._mesh,
                        self._continues,
                        fixed=self._fixed,
                        on_progress=self._on_progress,
                    )
                )
            )
            at = self._align(lease, aligner)
            lease.move(Phase.BUILD)
            self._say_what_is_removed()
            found = compare(self._old, new, self._mesh, (at.ends, at.begins), on_progress=self._on_progress)
            compared_s = time.perf_counter() - began - seconds
            report = RebuildReport(
                self._line.line, new.output.generation, new.output.topic, processed, seconds, found, compared_s
            )
            if swap is Swap.NEVER or (swap is Swap.EQUAL and not report.equal):
                return report
            return self._switch(lease, aligner, at, report, swap)

    def _switch(
        self, lease: BuildLease, aligner: GenerationAligner, at: Alignment, report: RebuildReport, swap: Swap
    ) -> RebuildReport:
        self._await_at_work(aligner, at)
        after = self._align(lease, aligner)
        ends, begins = (after.ends, after.begins), (at.ends, at.begins)
        last = compare(self._old, aligner.new, self._mesh, ends, begins=begins)
        report = replace(report, last_comparison=last)
        if swap is Swap.EQUAL and not last.equal:
            return report
        lease.check()
        self._configure_changelogs(aligner.new, CHANGELOG)
        topic = aligner.new.output.topic
        switch = Switch(
            holder=lease.holder,
            ends=after.ends,
            begins=after.begins,
            topic_id=self._admin.topic_ids([topic]).get(topic),
        )
        binding = self._bind(report.generation, switch)
        self._say(f"{self._line.line} is bound to generation {binding.generation} ({binding.topic})")
        return replace(report, binding=binding, paused_s=time.perf_counter() - self._paused_at)

    def _say_what_is_removed(self) -> None:
        """Log how many outputs of the live generation are removed; the comparison counts them as mismatches of the new one."""
        topic = self._old.output.topic
        with Consumer(self._old.kafka) as looking:
            for found in removed_history(self._old.kafka, topic, looking.bounds(topic)):
                self._say(f"not compared are {found}")

    def _open(self, lease: BuildLease) -> Plan:
        """Create the new generation's topic, and return the plan that builds it."""
        generation, live = lease.generation, self._old.output
        found = self._admin.topic(live.topic)
        if found is None:
            raise ProcessError(f"the topic {live.topic} is not there", hint="`meshport apply` makes it")
        made = make_generation_topic(self._admin, generation.topic, self._partitions, found, self._port)
        self._admit()
        self._say(
            f"generation {generation.number} of {live.address}: {'begun' if made else 'goes on'} ({generation.topic})"
        )
        own = {
            "topic": generation.topic,
            "topic_id": None,
            "generation": generation.number,
            "partitions": self._partitions,
        }
        return replace(self._plan, output=live.model_copy(update=own))

    def _configure_changelogs(self, new: Plan, settings: Mapping[str, str]) -> None:
        for stage in new.stages:
            self._admin.set_config(stage.changelog, settings)

    def _history_ends(self, building: BoundedProcessor) -> dict[TopicPartition, int]:
        """Return the present ends of the inputs; of a rebuilt input, the offset where it continues the old generation's.

        Where the old generation cannot be advanced, they are the offsets that its outputs reflect.
        """
        if self._fixed is not None:
            return switched(self._fixed.offsets, self._continues)
        # What an open transaction hides is left to the processor, as all that is written later.
        with closing(KafkaLog(building.plan.kafka)) as log:
            ends = {
                TopicPartition(stage.topic, partition): end
                for stage in input_stages(building.plan)
                for partition, (_, end) in log.bounds(stage.topic).items()
            }
        # The live generation cannot be advanced any further, since its input has ended there.
        return ends | begins_of(self._continues)

    def _align(self, lease: BuildLease, aligner: GenerationAligner) -> Alignment:
        """Align both generations while processors are paused; they stay paused until the lease moves to another phase."""
        self._follow(aligner)
        self._is_live = self._admin.groups.members(self._old.group) > 0
        self._paused_at = time.perf_counter()
        lease.move(Phase.HANDOVER)
        for _ in range(_TRIES):
            self._await_pause()
            at = aligner.align()
            # A processor that asked the registry a moment before the pause may have joined its group only now.
            if not self._admin.groups.members(self._old.group) and aligner.is_exact(at):
                return at
            self._say(f"{self._old.group} was started meanwhile; once more")
        raise ProcessError(
            f"{self._old.group} is started again and again", hint="end what runs it, and call this again"
        )

    def _await_at_work(self, aligner: GenerationAligner, since: Alignment) -> None:
        """Wait until the live processor works again after its first pause: restoring its state may take longer than the pause."""
        deadline = time.monotonic() + _RESUME_S
        while self._is_live and not aligner.is_at_work(since) and time.monotonic() < deadline:
            time.sleep(_ANSWER_S)

    def _follow(self, aligner: GenerationAligner) -> None:
        """Bring the new generation near to the live one, so that little is left to process during the pause."""
        for _ in range(_TRIES):
            began = time.perf_counter()
            aligner.follow()
            if time.perf_counter() - began < _NEAR_S:
                break

    def _await_pause(self) -> None:
        deadline = time.monotonic() + _PAUSE_S
        announced = False
        while count := self._admin.groups.members(self._old.group):
            if not announced:
                self._say(f"waiting for the live processor ({self._old.group}) to pause")
                announced = True
            if time.monotonic() > deadline:
                raise ProcessError(
                    f"{self._old.group} still has {count} members after {_PAUSE_S:g} s",
                    hint="`meshport run` and `meshport up` pause by themselves; end what else runs it",
                )
            time.sleep(_LOOK_S)

    def _bind(self, number: int, switch: Switch) -> Binding:
        deadline = time.monotonic() + self._lease_s
        while True:
            try:
                return self._line.switch(number, switch)
            except RegistryUnavailable:
                # Whether the address is bound is not known; the same request again returns the binding if it is.
                if time.monotonic() > deadline:
                    raise
                time.sleep(_ANSWER_S)


def logic_digest(product: ProjectProduct, plan: Plan, partitions: int) -> str:
    """Return a digest of a product's logic: of its files, its contract, the logs that it reads, and its partitions."""
    digest = hashlib.sha256()
    files = sorted(
        each for each in Path(product.folder).rglob("*") if each.suffix in {".py", ".yaml"} and each.is_file()
    )
    for file in files:
        digest.update(str(file.relative_to(product.folder)).encode() + b"\0" + file.read_bytes() + b"\0")
    logs = TopicLogs(plan.kafka).of(*(each.topic for each in plan.reads))
    read = sorted(f"{each.topic} {each.id}" for each in logs.values())
    migrated = [each.binding.migration.model_dump_json() for each in plan.sources if each.binding.migration is not None]
    digest.update(" ".join([plan.output.fingerprint, plan.shape, str(partitions), *read, *migrated]).encode())
    return digest.hexdigest()
