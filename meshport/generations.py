"""Models of the generations of a port, as the registry's API sends and receives them.

A generation is one topic of an address. `meshport apply` creates generation 1. A rebuild creates each further one beside
the bound one, and the address is then switched to it. Numbers are never reused.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from meshport.binding import TopicId
from meshport.newer import OrNewer
from meshport.product.input_port import AddressText


class GenerationState(StrEnum):
    """The state of a generation."""

    BUILDING = "building"
    LIVE = "live"
    REPLACED = "replaced"
    """Another generation is bound. The topic is kept for readers that have not read it to its end."""
    ABANDONED = "abandoned"
    """The build was given up before the address was bound to it."""
    RETIRED = "retired"
    """No binding names its topic any more, which may be deleted."""


class Phase(StrEnum):
    """What the holder of a generation does with it."""

    BUILD = "build"
    """The holder fills the new generation, and the processor of the live one runs on."""
    HANDOVER = "handover"
    """The processors of the address pause until the hold ends."""


class _GenerationsResponse(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _GenerationsRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Hold(_GenerationsResponse):
    """A lease on a generation that is being built. It expires, so that a holder that was killed blocks no other.

    Attributes:
        number: of the generation.
        phase: what the holder does.
        expires_in_s: seconds until it expires, by the registry's clock.
    """

    number: int
    phase: OrNewer[Phase]
    expires_in_s: float


class Generation(_GenerationsResponse):
    """One generation of a port.

    Attributes:
        number: counted from 1.
        topic: its topic.
        state: its state.
        made_by: identifies the logic that builds it, a text that the builder chooses; None for a first generation.
        created_at: when it was begun.
        ended_at: when it was replaced, abandoned or retired; None before that.
    """

    number: int
    topic: str
    state: OrNewer[GenerationState]
    made_by: str | None = None
    created_at: datetime
    ended_at: datetime | None = None


class Generations(_GenerationsResponse):
    """Every generation of one port.

    Attributes:
        address: of the port, with its major.
        generations: by number.
        hold: on the one that is being built; None if no holder works on it now.
    """

    address: AddressText
    generations: tuple[Generation, ...]
    hold: Hold | None = None

    @property
    def live(self) -> Generation:
        """The generation that the address is bound to."""
        return next(each for each in self.generations if each.state is GenerationState.LIVE)

    @property
    def building(self) -> Generation | None:
        """The generation that is being built, or None."""
        return next((each for each in self.generations if each.state is GenerationState.BUILDING), None)

    @property
    def is_handed_over(self) -> bool:
        """Whether the processors of the port have to pause now; in a phase that this version does not know, they do."""
        return self.hold is not None and self.hold.phase is not Phase.BUILD


class OpenGeneration(_GenerationsRequest):
    """The body of `POST .../open`.

    Attributes:
        holder: a unique name of the builder.
        seconds: for which the hold lasts unless it is renewed.
        made_by: identifies the logic. A generation that other logic began is abandoned, one of the same is continued.
    """

    holder: str = Field(min_length=1, max_length=64)
    seconds: float = Field(gt=0, le=600)
    made_by: str = Field(min_length=1, max_length=200)


class HoldRequest(_GenerationsRequest):
    """The body of `POST .../hold`; see `OpenGeneration` and `Phase`."""

    holder: str = Field(min_length=1, max_length=64)
    seconds: float = Field(gt=0, le=600)
    phase: Phase


class Release(_GenerationsRequest):
    """The body of `POST .../release` and `POST .../abandon`: the name of the holder."""

    holder: str = Field(min_length=1, max_length=64)


class Switch(_GenerationsRequest):
    """The body of `POST .../switch`: the offsets up to which both generations hold the outputs of the same input.

    Attributes:
        holder: the holder of the new generation, in the phase `handover`.
        ends: by partition of the old topic, the offset after the last of those outputs.
        begins: by partition of the new topic, the offset of the first output after them.
        topic_id: Kafka's id of the new topic; None where the cluster gives none.
    """

    holder: str = Field(min_length=1, max_length=64)
    ends: Mapping[int, int]
    begins: Mapping[int, int]
    topic_id: TopicId | None = None
