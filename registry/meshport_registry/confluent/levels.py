"""Routes of compatibility levels and modes."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from meshport.product import Compatibility
from meshport_registry.confluent.bodies import (
    ConfluentJSON,
    Database,
    Flag,
    LevelBody,
    ModeBody,
    SubjectName,
)
from meshport_registry.errors import InvalidLevel, InvalidMode
from meshport_registry.subject_settings import (
    configured_level,
    configured_mode,
    effective_level,
    effective_mode,
    global_settings,
    set_level,
    set_mode,
)
from meshport_registry.subjects import Mode
from meshport_registry.values import BoundedRoute

router = APIRouter(route_class=BoundedRoute, default_response_class=ConfluentJSON, tags=["Confluent"])


def _level(text: str | None) -> Compatibility:
    try:
        return Compatibility((text or "").upper())
    except ValueError as error:
        known = ", ".join(each.lower() for each in Compatibility)
        raise InvalidLevel(f"invalid compatibility level {text!r}; valid values are {known}") from error


def _mode(text: str) -> Mode:
    try:
        return Mode(text.upper())
    except ValueError as error:
        raise InvalidMode(f"invalid mode {text!r}; valid values are {', '.join(Mode)}") from error


@router.get("/config")
async def global_level(store: Database) -> Any:
    """The level of every subject that has none of its own."""
    return ConfluentJSON({"compatibilityLevel": await store.read(lambda c: effective_level(None, global_settings(c)))})


@router.put("/config")
async def set_global_level(store: Database, body: LevelBody) -> Any:
    """Set the level of every subject that has none of its own."""
    level = _level(body.compatibility)
    await store.write(lambda c: set_level(c, None, level))
    return ConfluentJSON({"compatibility": level})


@router.delete("/config")
async def reset_global_level(store: Database) -> Any:
    """Reset the level to BACKWARD; the answer is the level that was in force before."""
    return ConfluentJSON({"compatibilityLevel": await store.write(lambda c: set_level(c, None, None))})


@router.get("/config/{subject}")
async def subject_level(
    store: Database, subject: SubjectName, default_to_global: Annotated[bool, Query(alias="defaultToGlobal")] = False
) -> Any:
    """The level of a subject."""
    level = await store.read(lambda c: configured_level(c, subject, or_global=default_to_global))
    return ConfluentJSON({"compatibilityLevel": level})


@router.put("/config/{subject}")
async def set_subject_level(store: Database, subject: SubjectName, body: LevelBody) -> Any:
    """Set the level of a subject that belongs to no data product."""
    level = _level(body.compatibility)
    await store.write(lambda c: set_level(c, subject, level))
    return ConfluentJSON({"compatibility": level})


@router.delete("/config/{subject}")
async def reset_subject_level(store: Database, subject: SubjectName) -> Any:
    """Remove a subject's level; the answer is the level that was in force before."""
    return ConfluentJSON({"compatibilityLevel": await store.write(lambda c: set_level(c, subject, None))})


@router.get("/mode")
async def global_mode(store: Database) -> Any:
    """The mode of every subject that has none of its own."""
    return ConfluentJSON({"mode": await store.read(lambda c: effective_mode(None, global_settings(c)))})


@router.put("/mode")
async def set_global_mode(store: Database, body: ModeBody, force: Flag = False) -> Any:
    """Set the mode of every subject that has none of its own."""
    mode = _mode(body.mode)
    await store.write(lambda c: set_mode(c, None, mode, force=force))
    return ConfluentJSON({"mode": mode})


@router.delete("/mode")
async def reset_global_mode(store: Database) -> Any:
    """Reset the mode to READWRITE; the answer is the mode that was in force before."""
    return ConfluentJSON({"mode": await store.write(lambda c: set_mode(c, None, None))})


@router.get("/mode/{subject}")
async def subject_mode(
    store: Database, subject: SubjectName, default_to_global: Annotated[bool, Query(alias="defaultToGlobal")] = False
) -> Any:
    """The mode of a subject."""
    return ConfluentJSON({"mode": await store.read(lambda c: configured_mode(c, subject, or_global=default_to_global))})


@router.put("/mode/{subject}")
async def set_subject_mode(store: Database, subject: SubjectName, body: ModeBody, force: Flag = False) -> Any:
    """Set the mode of a subject that belongs to no data product."""
    mode = _mode(body.mode)
    await store.write(lambda c: set_mode(c, subject, mode, force=force))
    return ConfluentJSON({"mode": mode})


@router.delete("/mode/{subject}")
async def reset_subject_mode(store: Database, subject: SubjectName) -> Any:
    """Remove a subject's mode; the answer is the mode that was in force before."""
    return ConfluentJSON({"mode": await store.write(lambda c: set_mode(c, subject, None))})
