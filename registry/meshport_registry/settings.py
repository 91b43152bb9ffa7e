"""What a registry process is told at its start; nothing here is read from the environment."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

DEFAULT_DATABASE: Final = "sqlite:///meshport-registry.db"


class Settings(BaseModel):
    """Settings of one registry process.

    Attributes:
        database: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql://user:password@host/name`.
        host: the interface to listen on.
        port: the port to listen on; 0 lets the system choose.
        bootstrap_servers: the Kafka cluster of every binding that names none of its own.
        public_url: where clients reach the registry, where that is not `http://host:port`.
        longest_queue: writes that may wait; those beyond are told to come back (503).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    database: str = DEFAULT_DATABASE
    host: str = "127.0.0.1"
    port: int = Field(default=8081, ge=0, le=65535)
    bootstrap_servers: str | None = None
    public_url: str | None = None
    longest_queue: int = Field(default=1000, ge=1)

    @field_validator("database")
    @classmethod
    def _known_database(cls, text: str) -> str:
        database_url(text)
        return text

    @property
    def url(self) -> str:
        """Where clients reach the registry."""
        return self.public_url or f"http://{self.host}:{self.port}"


def database_url(text: str) -> URL:
    """The SQLAlchemy URL of a database, with the driver that this service uses.

    Raises:
        ValueError: neither SQLite in a file nor PostgreSQL.
    """
    shape = "write sqlite:///file.db or postgresql://user:password@host/name"
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise ValueError(f"{text!r} is no database URL; {shape}") from error
    match url.get_backend_name():
        case "sqlite" if url.database and url.database != ":memory:":
            return url.set(drivername="sqlite+pysqlite")
        case "sqlite":
            raise ValueError(f"a registry in memory forgets every id that Kafka still holds; {shape}")
        case "postgresql":
            return url.set(drivername="postgresql+psycopg")
        case other:
            raise ValueError(f"{other!r} is no database of this registry; {shape}")
