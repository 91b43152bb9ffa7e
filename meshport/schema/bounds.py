"""Static bounds of a schema: what a decoder could be made to build out of few bytes."""

from __future__ import annotations

from typing import Any


def refuse_bomb(form: Any, *, source: str) -> None:
    """Refuse a schema whose values could grow out of all proportion to their bytes.

    Args:
        form: the canonical form.
        source: how errors name the schema.

    Raises:
        SchemaError: it could.
    """
