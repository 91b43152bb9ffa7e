"""The OpenAPI document of both APIs.

The framework writes it from the routes. This module adds what a route cannot say: the media types of Confluent's API,
and which errors cannot happen.
"""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from meshport.product.json_schema import editor_schema
from meshport_registry.negotiation import MEDIA_TYPES

# Statuses that a request without a body cannot have.
_OF_BODIES: Final = ("413", "415")


# What a response names, as parameters of other routes: by route, the parameter and where its value stands.
_BY_ID: Final = {"schema_id": "$response.body#/id"}
_BY_GUID: Final = {"guid": "$response.body#/guid"}
_BY_SUBJECT: Final = {"subject": "$request.path.subject"}
_BY_VERSION: Final = _BY_SUBJECT | {"version": "$response.body#/version"}
_BY_PRODUCT: Final = {"guid": "$response.body#/product/guid"}
_LINKS: Final = {
    ("post", "/subjects/{subject}/versions"): [
        ("get", "/schemas/ids/{schema_id}", _BY_ID),
        ("get", "/schemas/ids/{schema_id}/schema", _BY_ID),
        ("get", "/schemas/ids/{schema_id}/subjects", _BY_ID),
        ("get", "/schemas/ids/{schema_id}/versions", _BY_ID),
        ("get", "/schemas/guids/{guid}", _BY_GUID),
        ("get", "/schemas/guids/{guid}/ids", _BY_GUID),
        ("post", "/subjects/{subject}", _BY_SUBJECT),
        ("delete", "/subjects/{subject}", _BY_SUBJECT),
        ("get", "/subjects/{subject}/versions", _BY_SUBJECT),
        ("get", "/subjects/{subject}/versions/{version}", _BY_VERSION),
        ("get", "/subjects/{subject}/versions/{version}/schema", _BY_VERSION),
        ("get", "/subjects/{subject}/versions/{version}/referencedby", _BY_VERSION),
        ("delete", "/subjects/{subject}/versions/{version}", _BY_VERSION),
        ("post", "/compatibility/subjects/{subject}/versions", _BY_SUBJECT),
        ("post", "/compatibility/subjects/{subject}/versions/{version}", _BY_VERSION),
        ("put", "/config/{subject}", _BY_SUBJECT),
        ("put", "/mode/{subject}", _BY_SUBJECT),
    ],
    ("put", "/config/{subject}"): [
        ("get", "/config/{subject}", _BY_SUBJECT),
        ("delete", "/config/{subject}", _BY_SUBJECT),
    ],
    ("put", "/mode/{subject}"): [
        ("get", "/mode/{subject}", _BY_SUBJECT),
        ("delete", "/mode/{subject}", _BY_SUBJECT),
        ("post", "/subjects/{subject}/versions", _BY_SUBJECT),
    ],
    ("post", "/api/v1/dataproducts"): [
        ("get", "/api/v1/dataproducts/{guid}", _BY_PRODUCT),
        ("post", "/api/v1/dataproducts/{guid}/deprecate", _BY_PRODUCT),
        ("post", "/api/v1/dataproducts/{guid}/retire", _BY_PRODUCT),
        ("post", "/api/v1/dataproducts/{guid}/activate", _BY_PRODUCT),
    ],
    ("post", "/api/v1/waivers"): [
        ("post", "/api/v1/waivers/{number}/revoke", {"number": "$response.body#/id"}),
    ],
}


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an application, which keeps it."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
        paths = document["paths"]
        for operations in paths.values():
            for operation in operations.values():
                _complete(operation)
        for (method, path), links in _LINKS.items():
            success = min(paths[path][method]["responses"])
            paths[path][method]["responses"][success]["links"] = {
                (identity := paths[target][verb]["operationId"]): {"operationId": identity, "parameters": parameters}
                for verb, target, parameters in links
            }
        _write_defaults(document["components"]["schemas"])
        app.openapi_schema = document
    return app.openapi_schema


def _write_defaults(schemas: dict[str, Any]) -> None:
    """Write the defaults of a descriptor as a descriptor has them: the framework's `P1D` is none of its lengths of time."""
    models = editor_schema()["$defs"]
    for name, form in schemas.items():
        written = models.get(name.removesuffix("-Input").removesuffix("-Output"), {}).get("properties", {})
        for key, value in form.get("properties", {}).items():
            if "default" in value and "default" in written.get(key, {}):
                value["default"] = written[key]["default"]


def _complete(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    for status in () if "requestBody" in operation else _OF_BODIES:
        responses.pop(status, None)
    if "Confluent" in operation["tags"]:
        bodies = [operation["requestBody"]] if "requestBody" in operation else []
        for each in (*responses.values(), *bodies):
            for content in each.get("content", {}).values():
                each["content"] = dict.fromkeys(MEDIA_TYPES, content)
                break
