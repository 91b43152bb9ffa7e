"""Problem reports on data products, as a registry's API sends and receives them.

A reader of a product opens a report; the owner of the product answers and closes it.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from meshport.newer import OrNewer
from meshport.product.input_port import AddressText

__all__ = [
    "ProblemAnswer",
    "ProblemAnswerText",
    "ProblemClosing",
    "ProblemReport",
    "ProblemReportRequest",
    "ProblemState",
]

ProblemTitle = Annotated[str, Field(min_length=1, max_length=200)]
ProblemText = Annotated[str, Field(min_length=1, max_length=4000)]


class ProblemState(StrEnum):
    """What became of a report."""

    OPEN = "open"
    ANSWERED = "answered"
    """The owner has written at least one answer."""
    CLOSED = "closed"


class _ProblemBody(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _ProblemResponse(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ProblemReportRequest(_ProblemBody):
    """The body of `POST /api/v1/problems`.

    Attributes:
        address: of the product, or of the port that has the problem.
        title: what is wrong, in one line.
        text: what was seen, where and since when; None if the title says it.
    """

    address: AddressText
    title: ProblemTitle
    text: ProblemText | None = None


class ProblemAnswerText(_ProblemBody):
    """The body of `POST /api/v1/problems/{number}/answer`.

    Attributes:
        text: the answer.
    """

    text: ProblemText


class ProblemClosing(_ProblemBody):
    """The body of `POST /api/v1/problems/{number}/close` and `.../withdraw`.

    Attributes:
        reason: what was done, or why nothing is.
    """

    reason: ProblemText


class ProblemAnswer(_ProblemResponse):
    """One answer of an owner.

    Attributes:
        text: the answer.
        answered_by: the name of the caller who wrote it.
        answered_at: when.
    """

    text: str
    answered_by: str
    answered_at: datetime


class ProblemReport(_ProblemResponse):
    """A report, and what became of it.

    Attributes:
        id: its number.
        address: of the product or the port.
        owner: the group that owns the product, and answers.
        title: what is wrong.
        text: what was seen; None where the title says it.
        state: what became of it.
        opened_by: the name of the caller who opened it.
        opened_at: when.
        answers: oldest first.
        closed_by: the name of the caller who closed it; the one who opened it, if that caller withdrew it.
        closed_at: when.
        reason: why it was closed.
    """

    id: int
    address: AddressText
    owner: str
    title: str
    text: str | None = None
    state: OrNewer[ProblemState]
    opened_by: str
    opened_at: datetime
    answers: tuple[ProblemAnswer, ...] = ()
    closed_by: str | None = None
    closed_at: datetime | None = None
    reason: str | None = None
