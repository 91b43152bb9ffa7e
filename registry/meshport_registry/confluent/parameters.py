"""Parameters of Confluent's API, in path and query, read as its registry reads them.

Confluent's registry is built with JAX-RS, whose `boolean` is Java's `Boolean.valueOf` and whose `int` is
`Integer.valueOf`. A number that is none gives 404, and any text is a boolean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import unquote

from fastapi import Depends, Path, Query
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from meshport_registry.subject_names import DEFAULT_CONTEXT, GLOBAL_CONTEXT, parse_subject, parse_version, read_subject
from meshport_registry.values import JavaCount, JavaLimit

_T = TypeVar("_T")
_ANY_TEXT: Final = {"anyOf": [{"type": "boolean"}, {"type": "string"}]}
_VERSION: Final = {
    "anyOf": [{"type": "integer", "minimum": -1, "maximum": 2**31 - 1}, {"type": "string", "enum": ["latest"]}]
}


def _java_boolean(text: Any) -> bool:
    return str(text).lower() == "true"


def _setting_to_read(text: str) -> str | None:
    name = unquote(text)
    if name == DEFAULT_CONTEXT:
        return None
    return name if name == GLOBAL_CONTEXT else read_subject(name)


def _setting_to_write(text: str) -> str | None:
    name = unquote(text)
    if name == DEFAULT_CONTEXT:
        return None
    return name if name == GLOBAL_CONTEXT else parse_subject(name)


# Routes match the path as the client sent it, so that a subject may contain a slash (`%2F`).
SubjectName = Annotated[str, Path(description="a subject"), AfterValidator(lambda text: read_subject(unquote(text)))]
"""A subject to read or to delete. Any name is one that no subject has."""
NewSubjectName = Annotated[
    str, Path(description="a subject"), AfterValidator(lambda text: parse_subject(unquote(text)))
]
"""A subject to register a schema in."""
SettingName = Annotated[
    str | None,
    Path(description="a subject; `:.:` for the default context, `:.__GLOBAL:` for the global one"),
    AfterValidator(_setting_to_read),
    WithJsonSchema({"type": "string"}),
]
"""What a level or a mode is read of: a subject, None for the default context, `GLOBAL_CONTEXT`."""
NewSettingName = Annotated[
    str | None,
    Path(description="a subject; `:.:` for the default context, `:.__GLOBAL:` for the global one"),
    AfterValidator(_setting_to_write),
    WithJsonSchema({"type": "string"}),
]
"""What a level or a mode is set for: a subject, None for the default context, `GLOBAL_CONTEXT`."""
VersionNumber = Annotated[
    int,
    Path(description="a version number; `latest` or -1 for the newest that is not deleted"),
    BeforeValidator(lambda text: parse_version(unquote(str(text)))),
    WithJsonSchema(_VERSION),
]
Flag = Annotated[bool, Query(), BeforeValidator(_java_boolean), WithJsonSchema(_ANY_TEXT)]
"""A switch: `true` in any case sets it, any other text does not."""
Deleted = Annotated[Flag, Query(description="include what is soft deleted")]
DeletedOnly = Annotated[Flag, Query(alias="deletedOnly", description="only what is soft deleted")]
DefaultToGlobal = Annotated[Flag, Query(alias="defaultToGlobal", description="what is in force if none is set")]
Prefix = Annotated[str, Query(alias="subjectPrefix", description="of the names of subjects")]
Format = Annotated[str, Query(alias="format", description="`resolved` for the canonical form with references inlined")]


@dataclass(frozen=True, slots=True)
class Page:
    """The requested page of a list. A limit that is not positive is none."""

    offset: JavaCount = 0
    limit: JavaLimit = -1

    def size(self, most: int) -> int:
        """Return how many items the page has, at most: no limit and a higher one mean `most`."""
        return min(self.limit, most) if self.limit > 0 else most

    def of(self, items: list[_T]) -> list[_T]:
        """Return the page of a list."""
        return items[self.offset :] if self.limit <= 0 else items[self.offset : self.offset + self.limit]


Paged = Annotated[Page, Depends()]
