"""The service of artist relations: it keeps who is signed on which terms, and emits each signing by its outbox.

    uvicorn --factory --app-dir producers/artists/onboardings service:application

A signing is stored and its event added in one transaction, so that no event is published of terms that were not stored, and no
terms are stored whose event is lost. By the environment:

    ARTISTS_DATABASE     the URL of its database; by default artists.db here
    ARTISTS_RELAY        `here`: the relay runs in a thread of the service, as by default; `elsewhere`: `meshport relay` does it
    ARTISTS_METRICS      `[HOST:]PORT` for /metrics, /health and /ready; by default they are not served
    MESHPORT_REGISTRY    the URL of the registry
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, BaseModel, Field
from sqlalchemy import JSON, Connection, Engine, create_engine, event
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from meshport import Registry, kafka_clusters
from meshport.errors import CodecError, PublishError
from meshport.kafka.clusters import KafkaAccess
from meshport.metrics.readiness import Readiness
from meshport.metrics.server import served
from meshport.outbox import Outbox, Relay, create_table
from meshport.outbox.databases import look_at
from meshport.ports.resolver import Resolver

ADDRESS: Final = "mesh://artists/onboardings"
NOTICE: Final = timedelta(hours=24)
"""Terms hold from this long after their signing."""
# For a SQLite file that the relay writes to as well.
_BUSY_S: Final = 30.0


class _Base(DeclarativeBase):
    pass


class Artist(_Base):
    """An artist on the terms that were signed last."""

    __tablename__ = "artist"
    artist_id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    label: Mapped[str | None]
    country: Mapped[str]
    genres: Mapped[list[str]] = mapped_column(JSON)
    rate_per_play: Mapped[str]
    signed_at: Mapped[str]
    signing_id: Mapped[str]


class Stored(_Base):
    """The id of a signing that was stored. A caller that got no answer sends it again, also after later ones of its artist."""

    __tablename__ = "stored"
    signing_id: Mapped[str] = mapped_column(primary_key=True)


class Signing(BaseModel):
    """What is signed: by a new artist, or new terms."""

    signing_id: str = Field(min_length=1, description="The same one whenever the same signing is sent again.")
    artist_id: str = Field(min_length=1)
    name: str
    label: str | None = None
    country: str
    genres: list[str] = Field(min_length=1)
    rate_per_play: Decimal
    signed_at: AwareDatetime


class Emission(BaseModel):
    """How many events of signings are not published yet, and how many of them cannot be."""

    waiting: int
    blocked: int


class Signed(BaseModel):
    """What became of a signing."""

    artist_id: str
    change: str
    valid_from: datetime


def sign(session: Session, signing: Signing) -> dict[str, Any] | None:
    """Store a signing, and return the record of its event; None if it was stored before."""
    if session.get(Stored, signing.signing_id) is not None:
        return None
    session.add(Stored(signing_id=signing.signing_id))
    artist = session.get(Artist, signing.artist_id, with_for_update=True)
    if artist is None:
        change = "ONBOARDED"
        artist = Artist(artist_id=signing.artist_id)
        session.add(artist)
    else:
        change = "RATE_CHANGED" if artist.label == signing.label else "LABEL_CHANGED"
    artist.name, artist.label, artist.country = signing.name, signing.label, signing.country
    artist.genres, artist.rate_per_play = signing.genres, str(signing.rate_per_play)
    artist.signed_at, artist.signing_id = signing.signed_at.isoformat(), signing.signing_id
    return {
        **signing.model_dump(exclude={"signing_id"}),
        "change": change,
        "valid_from": signing.signed_at + NOTICE,
    }


def open_database(url: str) -> Engine:
    """Return the database, with its tables."""
    engine = create_engine(url, pool_pre_ping=True)  # a connection that the database has closed is opened again
    if engine.dialect.name == "sqlite":
        _begin_to_write(engine)
    with engine.begin() as connection:
        _Base.metadata.create_all(connection)
        create_table(connection)
    return engine


def _begin_to_write(engine: Engine) -> None:
    """Have a transaction of SQLite take the writing lock at its begin: one that has read before is refused it at once."""

    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # this module begins transactions, not the driver
        connection.execute(f"PRAGMA busy_timeout = {_BUSY_S * 1000:.0f}")
        connection.execute("PRAGMA journal_mode = WAL")

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def application(
    database: str | None = None, resolver: Resolver | None = None, kafka: KafkaAccess | None = None
) -> FastAPI:
    """Return the service.

    Args:
        database: its URL; by default that of the environment, and so are the others.
        resolver: a registry.
        kafka: the connections to Kafka.

    Raises:
        ValueError: ARTISTS_RELAY is neither `here` nor `elsewhere`.
    """
    at = database or os.environ.get("ARTISTS_DATABASE", "sqlite:///artists.db")
    mesh = resolver or Registry(os.environ.get("MESHPORT_REGISTRY", "http://127.0.0.1:8081"))
    relayed = os.environ.get("ARTISTS_RELAY", "here")
    if relayed not in {"here", "elsewhere"}:
        raise ValueError(f"ARTISTS_RELAY is {relayed!r}: `here` or `elsewhere`")

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with ExitStack() as stack:
            app.state.engine = open_database(at)
            stack.callback(app.state.engine.dispose)
            app.state.outbox = Outbox(ADDRESS, mesh)
            parts = [Readiness("artist relations")]
            if relayed == "here":
                parts.append(stack.enter_context(Relay(at, mesh, kafka=kafka or kafka_clusters())).readiness)
            stack.enter_context(served(os.environ.get("ARTISTS_METRICS"), *parts))
            yield

    app = FastAPI(title="Artist relations", lifespan=lifespan)

    @app.post("/signings", status_code=201)
    def post_signing(signing: Signing, request: Request, response: Response) -> Signed:
        """Store a signing and emit it. One that was stored before changes nothing."""
        with Session(request.app.state.engine) as session, session.begin():
            record = sign(session, signing)
            if record is None:
                response.status_code = 200
                return Signed(artist_id=signing.artist_id, change="NONE", valid_from=signing.signed_at + NOTICE)
            request.app.state.outbox.add(session, record, id=signing.signing_id)
        return Signed(artist_id=signing.artist_id, change=record["change"], valid_from=record["valid_from"])

    @app.get("/artists/{artist_id}")
    def get_artist(artist_id: str, request: Request) -> Signing:
        """Return the terms that an artist has signed last."""
        with Session(request.app.state.engine) as session, session.begin():
            artist = session.get(Artist, artist_id)
            if artist is None:
                raise HTTPException(404, f"no artist {artist_id}")
            return Signing.model_validate(artist, from_attributes=True)

    @app.get("/emission")
    def get_emission() -> Emission:
        """Return what the relay has not published yet."""
        state = look_at(at, 1).state
        return Emission(waiting=state.waiting, blocked=state.blocked)

    @app.exception_handler(CodecError)
    @app.exception_handler(PublishError)
    def refused(_: Request, error: CodecError | PublishError) -> JSONResponse:
        """Answer a request whose event is none of the contract; its transaction was rolled back."""
        return JSONResponse({"detail": str(error)}, status_code=422)

    return app
