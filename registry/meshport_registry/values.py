"""Which numbers and texts a request may contain, for every route of both APIs.

Numbers that name something fit in 32 bits, as in the tables and in Java's clients; offsets of Kafka fit in 64 bits. Text
contains no U+0000, which PostgreSQL does not store, and no lone surrogate, which UTF-8 cannot encode. Path and query
cannot contain a lone surrogate, because their bytes are decoded as UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import islice
from typing import Annotated, Any, Final

import orjson
from fastapi import Query, Request
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Cookie, Header, Path
from fastapi.routing import APIRoute
from pydantic import BeforeValidator, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from meshport import __version__
from meshport.errors import MeshError
from meshport_registry.errors import InvalidRequest, NoSuchPath, UnreadableBody

MAX_INT: Final = 2**31 - 1
"""The highest schema id, version, major or number: Java's `int`, which Confluent's clients use, and both databases' INTEGER."""
MAX_LONG: Final = 2**63 - 1
MAX_REFERENCES: Final = 256
"""References of one schema. The largest of the public registries that were looked at has some tens."""
# A registration of a hundred ports has some thousand. Validation runs on the event loop, and takes 10 us for each error.
MAX_VALUES: Final = 10_000
MAX_ITEMS: Final = 500
"""Items of a list that are not all texts: ports, references. Names of fields may be more."""

Int = Annotated[int, Field(ge=-(2**31), le=MAX_INT)]
"""A number in the body of a request of Confluent's API."""
RowNumber = Annotated[int, Path(ge=1, le=MAX_INT)]
"""A number in the path of a request of the mesh API: of a generation or a waiver."""
Count = Annotated[int, Field(ge=0, le=MAX_INT)]
"""The number of rows that a page skips."""

# A text of JSON, or a comma outside of one.
_TOKEN: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|,', re.DOTALL)
_JAVA_INT: Final = re.compile(r"([+-]?)0*([0-9]{1,10})", re.ASCII)


def java_int(text: Any) -> int:
    """Return a number of a path or a query as Java's `Integer.parseInt` reads it.

    Raises:
        NoSuchPath: it is no `int`. JAX-RS, with which Confluent's registry is built, answers 404.
    """
    if isinstance(text, int):
        return text  # the parameter's default
    match = _JAVA_INT.fullmatch(str(text))
    number = int(match[1] + match[2]) if match else MAX_INT + 1
    if not -MAX_INT - 1 <= number <= MAX_INT:
        raise NoSuchPath("HTTP 404 Not Found")
    return number


SchemaId = Annotated[int, Path(), BeforeValidator(java_int)]
"""A schema id in the path of a request of Confluent's API."""
JavaCount = Annotated[int, Query(ge=0), BeforeValidator(java_int)]
"""The number of rows that a page skips, in a query of Confluent's API."""
JavaLimit = Annotated[int, Query(), BeforeValidator(java_int)]
"""The number of rows of a page, in a query of Confluent's API; all of them if it is not positive."""


def read_json(body: bytes) -> Any:
    """Return the JSON data of a request's body.

    Raises:
        UnreadableBody: it is no JSON (RFC 8259: `NaN` is none, nor is a lone surrogate).
        InvalidRequest: it has more than `MAX_VALUES` values or `MAX_ITEMS` items in a list, or contains U+0000 or a number
            beyond 64 bits.
    """
    if _has_too_many_values(body):
        raise InvalidRequest(f"the body has more than {MAX_VALUES} values", hint="send less in one request")
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnreadableBody(f"the body cannot be read as JSON: {error}") from error
    for count, (pointer, each) in enumerate(_values(data)):
        if count >= MAX_VALUES:
            raise InvalidRequest(f"the body has more than {MAX_VALUES} values", hint="send less in one request")
        if isinstance(each, list) and len(each) > MAX_ITEMS and not all(isinstance(one, str) for one in each):
            raise InvalidRequest(f"the list at {pointer or '/'} has {len(each)} items", hint=f"at most {MAX_ITEMS}")
        if isinstance(each, str):
            refuse_nul(each, f"the text at {pointer or '/'}")
        elif isinstance(each, int) and not -MAX_LONG - 1 <= each <= MAX_LONG:
            raise InvalidRequest(f"the number at {pointer or '/'} is {each}", hint="a number of 64 bits")
    return data


def _has_too_many_values(body: bytes) -> bool:
    """Whether JSON has certainly more than `MAX_VALUES` values and keys, without reading it.

    A value or key has at most one text and one comma. Reading 4 MB of `[[],[], ...` stops the event loop for a third of a
    second, and takes 110 MB.
    """
    return body.count(b",") > MAX_VALUES and next(islice(_TOKEN.finditer(body), 2 * MAX_VALUES, None), None) is not None


def _values(data: Any) -> Iterator[tuple[str, Any]]:
    """Yield every value and key of JSON data with its JSON pointer."""
    stack: list[tuple[str, Any]] = [("", data)]
    while stack:
        pointer, each = stack.pop()
        yield pointer, each
        if isinstance(each, dict):
            for key, value in each.items():
                yield pointer, key
                stack.append((f"{pointer}/{key}", value))
        elif isinstance(each, list):
            # A list is counted before it is walked, so that a long one costs nothing.
            stack.extend((f"{pointer}/{index}", value) for index, value in enumerate(each[: MAX_VALUES + 1]))


def refuse_nul(text: str, what: str) -> None:
    """Refuse text that a database may not store.

    Raises:
        InvalidRequest: the text contains U+0000.
    """
    if "\0" in text:
        raise InvalidRequest(f"{what} contains U+0000", hint="no text of the registry contains it")


async def refuse_nul_in_query(request: Request) -> None:
    """Refuse a query that contains U+0000; a dependency of every route.

    Raises:
        InvalidRequest: a parameter contains it.
    """
    for name, value in request.query_params.multi_items():
        refuse_nul(name + value, f"the parameter {name!r}")


async def refuse_unknown_parameters(request: Request) -> None:
    """Refuse query parameters that a route does not have; a dependency of the mesh API's routes.

    A newer client may ask by one for something else than the call without it does, as `dry_run` asks to write nothing. Fields
    of bodies are refused for the same reason. Confluent's API passes over what it does not know, as its clients expect.

    Raises:
        InvalidRequest: there is one.
    """
    route = request.scope["route"]
    if isinstance(route, BoundedRoute) and (unknown := sorted(request.query_params.keys() - route.parameters)):
        findings = tuple(f"{name[:80]}: Meshport {__version__} does not know this parameter" for name in unknown[:10])
        raise InvalidRequest(
            f"the request cannot be carried out: {findings[0]}",
            findings=findings,
            hint=f"it takes {', '.join(sorted(route.parameters)) or 'no parameters'}; a newer one needs a newer registry",
        )


class BoundedRoute(APIRoute):
    """A route that the guard of the application lets pass first, and whose JSON body is read by `read_json`."""

    @cached_property
    def parameters(self) -> frozenset[str]:
        """The names of its query parameters."""
        given = get_flat_params(self.dependant)
        return frozenset(each.alias for each in given if not isinstance(each.field_info, Path | Header | Cookie))

    def get_route_handler(self) -> Callable[[Request], Any]:
        """Return the handler of the route's requests."""
        handle = super().get_route_handler()
        path, takes_body = self.path, self.body_field is not None

        async def guarded(request: Request) -> Response:
            unreadable: MeshError | None = None
            if takes_body:
                request = _BoundedRequest(request.scope, request.receive)
                try:
                    await request.read()
                except MeshError as error:
                    unreadable = error  # a caller that is refused learns nothing of its body
            await request.app.state.guard.admit(request, path)
            if unreadable is not None:
                raise unreadable
            response: Response = await handle(request)
            return response

        return guarded


class _BoundedRequest(Request):
    """A request whose JSON body is read by `read_json`, before the framework asks for it."""

    async def read(self) -> None:
        """Read the body, which a later `json()` returns. A body of another content type is left to the framework.

        Raises:
            InvalidRequest: see `read_json`.
        """
        if not self.headers.get("content-type", "json").partition(";")[0].strip().lower().endswith("json"):
            return
        try:
            body = await self.body()
        except ClientDisconnect as error:
            raise HTTPException(400, "the client closed the connection before its request was complete") from error
        if body:
            self._json = read_json(body)
