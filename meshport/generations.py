"""The generations of a port, as the registry holds them: which there are, which is bound, and who is building one.

A generation is one topic under an address. Generation 1 is made by `meshport apply`; each further one by a rebuild,
beside the one that is bound, until the address is bound to it. Numbers are never given again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from meshport.product.descriptor import AddressText


class GenerationState(StrEnum):
    """Where a generation is in its life."""

    BUILDING = "building"
    LIVE = "live"
    REPLACED = "replaced"
    """Another is bound; its topic is kept for readers who have not read it to its end."""
    ABANDONED = "abandoned"
    """It was given up before anybody read it."""
    RETIRED = "retired"
    """Its topics are gone."""


class Phase(StrEnum):
    """What whoever holds a generation that is being built does."""

    BUILD = "build"
    """It fills the new generation; the processor of the live one goes on."""
    HANDOVER = "handover"
    """Processors of the address stand still, until the hold ends."""


class _GenerationsResponse(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _GenerationsRequest(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Hold(_GenerationsResponse):
    """A claim on a generation that is being built. It ends by itself, so that a holder who was killed blocks nobody.

    Attributes:
        number: of the generation.
        phase: what the holder does.
        expires_in_s: seconds, by the registry's clock.
    """

    number: int
    phase: Phase
    expires_in_s: float


class Generation(_GenerationsResponse):
    """One generation of a port.

    Attributes:
        number: counted from 1.
        topic: its topic.
        state: where it is in its life.
        made_by: what tells the logic that builds it, of its builder's choice; None for a first generation.
        created_at: when it was begun.
        ended_at: when it was replaced, abandoned or retired.
    """

    number: int
    topic: str
    state: GenerationState
    made_by: str | None = None
    created_at: datetime
    ended_at: datetime | None = None


class Generations(_GenerationsResponse):
    """Every generation of one port.

    Attributes:
        address: of the port, with its major.
        generations: by number.
        hold: on the one that is being built; None where nobody works on it now.
    """

    address: AddressText
    generations: tuple[Generation, ...]
    hold: Hold | None = None

    @property
    def live(self) -> Generation:
        """The one that the address is bound to."""
        return next(each for each in self.generations if each.state is GenerationState.LIVE)

    @property
    def building(self) -> Generation | None:
        """The one that is being built."""
        return next((each for each in self.generations if each.state is GenerationState.BUILDING), None)

    @property
    def is_handed_over(self) -> bool:
        """Whether the processors of the port have to stand still now."""
        return self.hold is not None and self.hold.phase is Phase.HANDOVER


class OpenGeneration(_GenerationsRequest):
    """What `POST .../open` takes.

    Attributes:
        holder: who builds it, a name that nobody else has.
        seconds: for how long the claim holds unless it is renewed.
        made_by: tells the logic; a generation that was begun by another logic is abandoned, one by the same goes on.
    """

    holder: str = Field(min_length=1, max_length=64)
    seconds: float = Field(gt=0, le=600)
    made_by: str = Field(min_length=1, max_length=200)


class HoldRequest(_GenerationsRequest):
    """What `POST .../hold` takes: see `OpenGeneration` and `Phase`."""

    holder: str = Field(min_length=1, max_length=64)
    seconds: float = Field(gt=0, le=600)
    phase: Phase


class Release(_GenerationsRequest):
    """What `POST .../release` and `POST .../abandon` take: who holds it."""

    holder: str = Field(min_length=1, max_length=64)


class Switch(_GenerationsRequest):
    """What `POST .../switch` takes: the one place at which both generations hold the outputs of the same input.

    Attributes:
        holder: who holds the new generation, in the phase `handover`.
        ends: by partition of the old topic, the offset after the last event up to that place.
        begins: by partition of the new topic, the offset of the first event behind it.
    """

    holder: str = Field(min_length=1, max_length=64)
    ends: Mapping[int, int]
    begins: Mapping[int, int]
