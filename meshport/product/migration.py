"""`migration` of an output port: how events of an earlier major line are read as events of this one."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field, field_validator

from meshport.product.input_port import Model


class Migration(Model):
    """How the events of an earlier line become events of this line, when they are read.

    Readers of this line then read its whole history: of the earlier line what was recorded before `until`, and after it this
    line. The topics stay as they are.

    Attributes:
        from_major: the major of the earlier line; by default the one before.
        until: the time from which this line has every event, with a zone. Events that the earlier line recorded later, for
            readers that have not moved yet, are in this line as well.
        fields: by field of this line's contract, the expression that computes it of a record of the earlier contract. A field
            that is not named has the value of the earlier field of its name, or else its default.
    """

    from_major: int | None = Field(
        default=None, ge=1, le=999_999_999, alias="from", description="the earlier major; by default the one before"
    )
    until: datetime = Field(description="the time from which this line has every event: 2026-11-01T00:00:00Z")
    fields: dict[str, str] = Field(
        default_factory=dict,
        description="by field of this contract, the expression that computes it of a record of the earlier one",
    )

    @field_validator("until")
    @classmethod
    def _with_zone(cls, time: datetime) -> datetime:
        if time.tzinfo is None:
            raise ValueError(f"{time.isoformat()} is a time without a zone; write {time.isoformat()}Z")
        return time

    def earlier(self, major: int) -> int:
        """Return the major of the earlier line, for the migration of a line of this major."""
        return self.from_major or major - 1
