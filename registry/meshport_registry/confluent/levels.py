"""Routes of compatibility levels and modes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import Connection

from meshport.product import Compatibility
from meshport_registry.confluent.answers import (
    READS,
    TAKES_BODY,
    ConfluentJSON,
    LevelFacts,
    LevelSet,
    ModeFacts,
    ModeSet,
)
from meshport_registry.confluent.bodies import LevelBody, ModeBody
from meshport_registry.confluent.parameters import DefaultToGlobal, Flag, NewSettingName, SettingName
from meshport_registry.errors import LevelNotConfigured, ModeNotConfigured
from meshport_registry.negotiation import CONFLUENT_CHECKS
from meshport_registry.state import Database
from meshport_registry.store import RegistryStore
from meshport_registry.subject_deletion import clear_for_import
from meshport_registry.subject_names import GLOBAL_CONTEXT
from meshport_registry.subject_settings import (
    configured_level,
    configured_mode,
    remove_every_mode,
    set_level,
    set_mode,
)
from meshport_registry.subjects import Mode, subject_not_found
from meshport_registry.values import BoundedRoute

router = APIRouter(
    route_class=BoundedRoute, default_response_class=ConfluentJSON, dependencies=CONFLUENT_CHECKS, tags=["Confluent"]
)
Force = Annotated[Flag, Query(description="allow IMPORT although there are schemas")]
Recursive = Annotated[Flag, Query(description="remove the mode of each subject of the context, too")]


@router.get("/config", response_model=LevelFacts, responses=READS)
async def global_level(store: Database, or_global: DefaultToGlobal = False) -> Any:
    """The level of every subject that has none of its own."""
    return await _level(store, None, or_global=or_global)


@router.put("/config", response_model=LevelSet, responses=TAKES_BODY)
async def set_global_level(store: Database, body: LevelBody) -> Any:
    """Set the level of every subject that has none of its own."""
    return await _set_level(store, None, body)


@router.delete("/config", response_model=LevelFacts, responses=READS)
async def reset_global_level(store: Database) -> Any:
    """Reset the level to BACKWARD; the answer is the level that was in force before."""
    return await _reset_level(store, None)


@router.get("/config/{subject}", response_model=LevelFacts, responses=READS)
async def subject_level(store: Database, subject: SettingName, or_global: DefaultToGlobal = False) -> Any:
    """The level of a subject."""
    return await _level(store, subject, or_global=or_global)


@router.put("/config/{subject}", response_model=LevelSet, responses=TAKES_BODY)
async def set_subject_level(store: Database, subject: NewSettingName, body: LevelBody) -> Any:
    """Set the level of a subject that belongs to no data product."""
    return await _set_level(store, subject, body)


@router.delete("/config/{subject}", response_model=LevelFacts, responses=READS)
async def reset_subject_level(store: Database, subject: SettingName) -> Any:
    """Remove a subject's level; the answer is the level that was in force before."""
    return await _reset_level(store, subject)


async def _level(store: RegistryStore, subject: str | None, *, or_global: bool) -> ConfluentJSON:
    level = await store.read(lambda c: configured_level(c, subject, or_global=or_global))
    return ConfluentJSON({"compatibilityLevel": level})


async def _set_level(store: RegistryStore, subject: str | None, body: LevelBody) -> ConfluentJSON:
    level = body.level()
    if body.changes:
        await store.write(lambda c: set_level(c, subject, level))
    return ConfluentJSON({"compatibility": level} if level else {})


async def _reset_level(store: RegistryStore, subject: str | None) -> ConfluentJSON:
    def work(connection: Connection) -> Compatibility:
        try:
            before = configured_level(connection, subject, or_global=False)
        except LevelNotConfigured as error:
            raise subject_not_found(subject or "") from error
        set_level(connection, subject, None)
        return before

    return ConfluentJSON({"compatibilityLevel": await store.write(work)})


@router.get("/mode", response_model=ModeFacts, responses=READS)
async def global_mode(store: Database, or_global: DefaultToGlobal = False) -> Any:
    """The mode of every subject that has none of its own."""
    return await _mode(store, None, or_global=or_global)


@router.put("/mode", response_model=ModeSet, responses=TAKES_BODY)
async def set_global_mode(store: Database, body: ModeBody, force: Force = False) -> Any:
    """Set the mode of every subject that has none of its own."""
    return await _set_mode(store, None, body, force=force)


@router.delete("/mode", response_model=ModeFacts, responses=READS)
async def reset_global_mode(store: Database, recursive: Recursive = False) -> Any:
    """Reset the mode to READWRITE; the answer is the mode that was in force before."""
    return await _reset_mode(store, None, recursive=recursive)


@router.get("/mode/{subject}", response_model=ModeFacts, responses=READS)
async def subject_mode(store: Database, subject: SettingName, or_global: DefaultToGlobal = False) -> Any:
    """The mode of a subject."""
    return await _mode(store, subject, or_global=or_global)


@router.put("/mode/{subject}", response_model=ModeSet, responses=TAKES_BODY)
async def set_subject_mode(store: Database, subject: NewSettingName, body: ModeBody, force: Force = False) -> Any:
    """Set the mode of a subject that belongs to no data product."""
    return await _set_mode(store, subject, body, force=force)


@router.delete("/mode/{subject}", response_model=ModeFacts, responses=READS)
async def reset_subject_mode(store: Database, subject: SettingName, recursive: Recursive = False) -> Any:
    """Remove a subject's mode; the answer is the mode that was in force before."""
    return await _reset_mode(store, subject, recursive=recursive)


async def _mode(store: RegistryStore, subject: str | None, *, or_global: bool) -> ConfluentJSON:
    return ConfluentJSON({"mode": await store.read(lambda c: configured_mode(c, subject, or_global=or_global))})


async def _set_mode(store: RegistryStore, subject: str | None, body: ModeBody, *, force: bool) -> ConfluentJSON:
    mode = body.mode

    def work(connection: Connection) -> None:
        before = configured_mode(connection, subject, or_global=True)
        if mode is Mode.IMPORT and before is not Mode.IMPORT and not force:
            clear_for_import(connection, None if subject == GLOBAL_CONTEXT else subject)
        set_mode(connection, subject, mode)

    await store.write(work)
    return ConfluentJSON(body.echo)


async def _reset_mode(store: RegistryStore, subject: str | None, *, recursive: bool) -> ConfluentJSON:
    def work(connection: Connection) -> Mode:
        try:
            before = configured_mode(connection, subject, or_global=False)
        except ModeNotConfigured as error:
            raise subject_not_found(subject or "") from error
        if subject is None and recursive:
            remove_every_mode(connection)
        else:
            set_mode(connection, subject, None)
        return before

    return ConfluentJSON({"mode": await store.write(work)})
