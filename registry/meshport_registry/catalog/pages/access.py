"""The form of a product's page that asks its owner for access."""

from __future__ import annotations

from datetime import UTC, datetime, time
from http import HTTPStatus

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from meshport import rfc3339
from meshport.address import Address
from meshport.grants import AccessRequest
from meshport_registry.access.api import ask_for_access
from meshport_registry.catalog.frame import SECURITY_HEADERS
from meshport_registry.catalog.routing import Form, page_router
from meshport_registry.catalog.words import page_of
from meshport_registry.errors import InvalidRequest
from meshport_registry.identity.caller import CurrentCaller
from meshport_registry.mesh_api import Segment
from meshport_registry.state import Database

router = page_router()


@router.post("/catalog/access/{domain}/{product}")
async def ask(
    request: Request, store: Database, caller: CurrentCaller, *, fields: Form, domain: Segment, product: Segment
) -> Response:
    """Ask for access, as `POST /api/v1/access` does, and show the product again with the request."""
    wanted = _wanted(Address(domain, product), fields)
    await ask_for_access(request, store, caller, wanted)
    headers = SECURITY_HEADERS | {"location": f"{page_of(wanted.address)}#access"}
    return Response(status_code=HTTPStatus.SEE_OTHER, headers=headers)


def _wanted(product: Address, fields: dict[str, str]) -> AccessRequest:
    """Return the request that a form is.

    Raises:
        InvalidRequest: a field is missing or cannot be read.
    """
    port, reader, until = fields.get("port") or None, fields.get("reader") or None, fields.get("until")
    try:
        # To the end of the day that the form names.
        end = datetime.combine(rfc3339.day(until), time.max, UTC) if until else None
        return AccessRequest(
            address=Address(product.domain, product.product, port),
            reader=reader,
            purpose=fields.get("purpose", ""),
            until=end,
        )
    except ValidationError as error:
        wrong = tuple(f"{each['loc'][-1]}: {each['msg']}" for each in error.errors())
        raise InvalidRequest(f"access cannot be asked for: {wrong[0]}", findings=wrong) from error
    except ValueError as error:
        raise InvalidRequest(f"access cannot be asked for: {error}") from error
