"""Reading the topic of a replay job, as one of the readers that the job names."""

from __future__ import annotations

from uuid import UUID

from meshport.address import Address, replay_name
from meshport.binding import Binding
from meshport.errors import ReplayError
from meshport.registry import Registry
from meshport.replay_jobs import ReplayOutput
from meshport.schema import Schema


class ReplayedPort:
    """A registry in which the address of a port leads to the topic of a replay job. Give it to a `Subscriber`.

    Args:
        mesh: the registry.
        job: the id of the job.
        reader: the name of the reader, one of those that the job is for.

    Attributes:
        address: of the port.
        group: the consumer group for the reader's events of this job. It is not the reader's own: another member of that group
            would move its partitions.

    Raises:
        NotRegistered: there is no such job.
        ReplayError: the job is not for this reader, or has no topic.
    """

    def __init__(self, mesh: Registry, job: str, reader: str) -> None:
        self._mesh = mesh
        self._job = mesh.replays.get(job)
        if self._job.output != ReplayOutput.TOPIC:
            raise ReplayError(f"the replay {job} goes to {self._job.output}, not to a topic", topic=self._job.topic)
        if reader not in self._job.readers:
            raise ReplayError(
                f"the replay {job} is for {', '.join(self._job.readers)}, not for {reader}",
                topic=self._job.topic,
                hint="who starts a replay names its readers: meshport replay start --for",
            )
        self.address = self._job.address
        self.group = f"{reader}.replay.{job[:12]}"

    def resolve(self, address: Address) -> Binding:
        """Return the binding of the port, with the topic of the job.

        Raises:
            ReplayError: the address is of another port.
            NotRegistered, RegistryUnavailable: see `Registry.resolve`.
        """
        binding = self._mesh.resolve(address)
        if binding.address != self.address:
            raise ReplayError(f"the replay {self._job.job} is of {self.address}, not of {binding.address}")
        topic = replay_name(self._job.topic, self._job.job)
        return binding.model_copy(update={"topic": topic, "topic_id": None, "continues": ()})

    def by_id(self, schema_id: int) -> Schema:
        """See `Registry.by_id`."""
        return self._mesh.by_id(schema_id)

    def by_fingerprint(self, fingerprint: str) -> Schema:
        """See `Registry.by_fingerprint`."""
        return self._mesh.by_fingerprint(fingerprint)

    def by_guid(self, guid: UUID) -> Schema:
        """See `Registry.by_guid`."""
        return self._mesh.by_guid(guid)
