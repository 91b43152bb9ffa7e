"""API keys of a registry, as its API sends and receives them.

The secret of a key is 256 random bits, and is shown once, when the key is made. A registry stores its SHA-256 and no more:
a slow hash protects passwords, which can be guessed; 256 random bits cannot.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from meshport.product.day import Day

KEY_PREFIX: Final = "mpk"
"""The first word of a key's text, by which scanners of secrets and people know it."""
LONGEST_OVERLAP_HOURS: Final = 24 * 366
KeyName = Annotated[str, Field(min_length=1, max_length=256)]
KeyGroup = Annotated[str, Field(min_length=1, max_length=256)]


class ApiKeyRequest(BaseModel):
    """The body of `POST /api/v1/keys`.

    Attributes:
        name: of the caller whose key it is: `<domain>/<product>` for the process of a data product.
        groups: of the caller.
        until: the last day (UTC) of the key; None for a year from now.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: KeyName
    groups: tuple[KeyGroup, ...] = Field(default=(), max_length=100)
    until: Day | None = None


class ApiKeyRotation(BaseModel):
    """The body of `POST /api/v1/keys/{id}/rotate`.

    Attributes:
        overlap_hours: how long the old key stays valid beside the new one, if it does not end before.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    overlap_hours: int = Field(default=24, ge=0, le=LONGEST_OVERLAP_HOURS)


class ApiKey(BaseModel):
    """A key without its secret.

    Attributes:
        id: names the key; it is no secret.
        name: of the caller whose key it is.
        groups: of the caller.
        created_at: when it was made.
        created_by: the name of the caller who made it.
        ends_at: when it ends by itself.
        revoked_at: when it was revoked; None if it was not.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: str
    name: str
    groups: tuple[str, ...] = ()
    created_at: datetime
    created_by: str
    ends_at: datetime
    revoked_at: datetime | None = None

    def state(self, now: datetime) -> str:
        """Return `valid`, `revoked` or `ended`."""
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if now < self.ends_at else "ended"


class NewApiKey(ApiKey):
    """A key that was just made, with its secret, which nothing shows again.

    Attributes:
        secret: the password of HTTP basic authentication, whose user is the key's id.
    """

    secret: str = Field(repr=False)

    @property
    def text(self) -> str:
        """The whole key as one text, which is sent as a bearer token."""
        return f"{KEY_PREFIX}_{self.id}_{self.secret}"
