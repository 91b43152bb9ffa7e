"""A property of a connection as it was written: its text out of sight, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from meshport.errors import KafkaConfigError

__all__ = ["Setting"]


@dataclass(frozen=True, slots=True)
class Setting:
    """A property as it was written.

    Attributes:
        name: its name.
        value: its text. Any text may hold a secret, since its name may be misspelled.
        source: where it was written, for people.
        folder: where its relative paths begin.
    """

    name: str
    value: SecretStr
    source: str
    folder: Path

    @property
    def text(self) -> str:
        """The value in the clear."""
        return self.value.get_secret_value()

    def named(self, name: str, text: str | None = None) -> Setting:
        """Return this setting under another name, with another text if one is given."""
        return replace(self, name=name, value=self.value if text is None else SecretStr(text))

    def error(self, message: str, hint: str | None = None) -> KafkaConfigError:
        """Return the error of this setting."""
        return KafkaConfigError(
            f"{self.source}: {self.name} {message}", property=self.name, source=self.source, hint=hint
        )
