"""The table of rights: for every route of both APIs, the action and what it is about.

A route without a row refuses every request. A test walks the routes of the application.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple

from meshport.policy import Action


class About(Enum):
    """What a request is about, and where the request names it."""

    MESH = auto()
    """The whole mesh."""
    ADDRESS = auto()
    """The product of the path's `domain` and `product`."""
    GUID = auto()
    """The product of the path's `guid`."""
    DOMAIN = auto()
    """The path's `domain`."""
    SUBJECT = auto()
    """The path's `subject`: the product that has it as a port's, or the subject itself."""
    DECLARATION = auto()
    """The product that the body declares: as it is registered, or as it would be."""
    WAIVED = auto()
    """The product of the body's `address`."""
    WAIVER = auto()
    """The product of the waiver of the path's `number`."""
    ASKED = auto()
    """The product of the address in the body of a request for access."""
    GRANT = auto()
    """The product of the request for access of the path's `number`."""
    REPORTED = auto()
    """The product of the address in the body of a problem report."""
    PROBLEM = auto()
    """The product of the problem report of the path's `number`."""
    REPLAYED = auto()
    """The product of the address in the body of a request for a replay."""
    REPLAY = auto()
    """The product of the replay job of the path's `job`."""


class RouteRight(NamedTuple):
    """A row of the table.

    Attributes:
        action: what the route does.
        about: what it does that with.
        dry: what it does with `dry_run`, which writes nothing.
    """

    action: Action
    about: About = About.MESH
    dry: Action | None = None


_DISCOVER: Final = RouteRight(Action.DISCOVER)
_PROBE: Final = RouteRight(Action.PROBE)
_SUBJECT: Final = RouteRight(Action.DISCOVER, About.SUBJECT)
_ADDRESS: Final = RouteRight(Action.DISCOVER, About.ADDRESS)
_GENERATION: Final = RouteRight(Action.REGISTER, About.ADDRESS)
_LEVEL: Final = RouteRight(Action.SET_COMPATIBILITY)
_SUBJECT_LEVEL: Final = RouteRight(Action.SET_COMPATIBILITY, About.SUBJECT)
_ADMINISTER: Final = RouteRight(Action.ADMINISTER)
_GRANT: Final = RouteRight(Action.GRANT, About.GRANT)
_RETIRE: Final = RouteRight(Action.RETIRE, About.GUID)
_LINE: Final = "/api/v1/generations/{domain}/{product}/{port}"
_RETIRE_ADDRESS: Final = RouteRight(Action.RETIRE, About.ADDRESS)
_ACTIVITY: Final = "/catalog/activity/{domain}/{product}"
_PROFILE: Final = "/api/v1/profiles/{domain}/{product}/{port}"
_SEEN_READERS: Final = "/api/v1/seen-readers/{domain}/{product}"
_PROCESSOR: Final = "/api/v1/processors/{domain}/{product}/{port}"
_QUARANTINE: Final = "/api/v1/quarantine/{domain}/{product}/{port}"
_REPLAY: Final = "/api/v1/replays/{job}"
_LEVELS: Final = "/api/v1/service-levels/{domain}/{product}/{port}"

ROUTES: Final[dict[tuple[str, str], RouteRight]] = {
    # Confluent's API
    ("GET", "/"): _DISCOVER,
    ("GET", "/contexts"): _DISCOVER,
    ("GET", "/v1/metadata/id"): _DISCOVER,
    ("GET", "/v1/metadata/version"): _DISCOVER,
    ("GET", "/associations/{rest:path}"): _DISCOVER,
    ("GET", "/subjects"): _DISCOVER,
    ("POST", "/subjects/{subject}"): _SUBJECT,
    ("DELETE", "/subjects/{subject}"): RouteRight(Action.RETIRE, About.SUBJECT),
    ("GET", "/subjects/{subject}/versions"): _SUBJECT,
    ("POST", "/subjects/{subject}/versions"): RouteRight(Action.REGISTER, About.SUBJECT),
    ("GET", "/subjects/{subject}/versions/{version}"): _SUBJECT,
    ("GET", "/subjects/{subject}/versions/{version}/schema"): _SUBJECT,
    ("GET", "/subjects/{subject}/versions/{version}/referencedby"): _SUBJECT,
    ("DELETE", "/subjects/{subject}/versions/{version}"): RouteRight(Action.RETIRE, About.SUBJECT),
    ("GET", "/schemas"): _DISCOVER,
    ("GET", "/schemas/types"): _DISCOVER,
    ("GET", "/schemas/ids/{schema_id}"): _DISCOVER,
    ("GET", "/schemas/ids/{schema_id}/schema"): _DISCOVER,
    ("GET", "/schemas/ids/{schema_id}/subjects"): _DISCOVER,
    ("GET", "/schemas/ids/{schema_id}/versions"): _DISCOVER,
    ("GET", "/schemas/guids/{guid}"): _DISCOVER,
    ("GET", "/schemas/guids/{guid}/ids"): _DISCOVER,
    ("POST", "/compatibility/subjects/{subject}/versions"): _SUBJECT,
    ("POST", "/compatibility/subjects/{subject}/versions/{version}"): _SUBJECT,
    ("GET", "/config"): _DISCOVER,
    ("PUT", "/config"): _LEVEL,
    ("DELETE", "/config"): _LEVEL,
    ("GET", "/config/{subject}"): _SUBJECT,
    ("PUT", "/config/{subject}"): _SUBJECT_LEVEL,
    ("DELETE", "/config/{subject}"): _SUBJECT_LEVEL,
    ("GET", "/mode"): _DISCOVER,
    ("PUT", "/mode"): _LEVEL,
    ("DELETE", "/mode"): _LEVEL,
    ("GET", "/mode/{subject}"): _SUBJECT,
    ("PUT", "/mode/{subject}"): _SUBJECT_LEVEL,
    ("DELETE", "/mode/{subject}"): _SUBJECT_LEVEL,
    # the catalog; `/` is Confluent's for the clients of that API
    ("GET", "/catalog"): _DISCOVER,
    ("GET", "/catalog/domains/{domain}"): _DISCOVER,
    ("GET", "/catalog/products/{domain}/{product}"): _ADDRESS,
    ("GET", "/catalog/versions/{domain}/{product}"): _ADDRESS,
    ("POST", "/catalog/access/{domain}/{product}"): RouteRight(Action.REQUEST_ACCESS, About.ADDRESS),
    ("GET", "/catalog/search"): _DISCOVER,
    ("GET", "/catalog/glossary"): _DISCOVER,
    ("POST", "/catalog/glossary/{domain}/withdraw"): RouteRight(Action.ADMINISTER, About.DOMAIN),
    ("GET", "/catalog/problems/{domain}/{product}"): _ADDRESS,
    ("POST", "/catalog/problems/{domain}/{product}"): RouteRight(Action.READ, About.ADDRESS),
    ("POST", "/catalog/reports/{number}/answer"): RouteRight(Action.REGISTER, About.PROBLEM),
    ("POST", "/catalog/reports/{number}/close"): RouteRight(Action.REGISTER, About.PROBLEM),
    ("GET", "/catalog/lineage/{domain}/{product}"): _ADDRESS,
    ("GET", _ACTIVITY): _ADDRESS,
    ("POST", f"{_ACTIVITY}/deprecate"): _RETIRE_ADDRESS,
    ("POST", f"{_ACTIVITY}/activate"): _RETIRE_ADDRESS,
    ("POST", f"{_ACTIVITY}/retire"): _RETIRE_ADDRESS,
    ("POST", f"{_ACTIVITY}/waive"): RouteRight(Action.WAIVE, About.ADDRESS),
    ("POST", "/catalog/grants/{number}/grant"): _GRANT,
    ("POST", "/catalog/grants/{number}/refuse"): _GRANT,
    ("POST", "/catalog/grants/{number}/revoke"): _GRANT,
    ("GET", "/catalog/data/{domain}/{product}"): RouteRight(Action.READ, About.ADDRESS),
    ("GET", "/catalog/quarantine/{domain}/{product}"): RouteRight(Action.READ, About.ADDRESS),
    ("GET", "/catalog/login"): _PROBE,
    ("POST", "/catalog/login"): _PROBE,
    ("GET", "/catalog/login/start"): _PROBE,
    ("GET", "/catalog/login/callback"): _PROBE,
    ("POST", "/catalog/logout"): _PROBE,
    ("GET", "/catalog/static/{name}"): _PROBE,
    # products
    ("POST", "/api/v1/dataproducts"): RouteRight(Action.REGISTER, About.DECLARATION, dry=Action.DISCOVER),
    ("GET", "/api/v1/dataproducts"): _DISCOVER,
    ("GET", "/api/v1/dataproducts/by-address/{domain}/{product}"): _ADDRESS,
    ("GET", "/api/v1/dataproducts/{guid}"): RouteRight(Action.DISCOVER, About.GUID),
    ("POST", "/api/v1/dataproducts/{guid}/deprecate"): _RETIRE,
    ("POST", "/api/v1/dataproducts/{guid}/retire"): _RETIRE,
    ("POST", "/api/v1/dataproducts/{guid}/activate"): _RETIRE,
    ("POST", "/api/v1/dataproducts/{guid}/drop"): _RETIRE,
    ("GET", "/api/v1/resolve/{domain}/{product}"): _ADDRESS,
    ("GET", "/api/v1/resolve/{domain}/{product}/{port}"): _ADDRESS,
    ("GET", "/api/v1/lineage/{domain}/{product}"): _ADDRESS,
    ("GET", "/api/v1/lineage/{domain}/{product}/fields"): _ADDRESS,
    ("GET", "/api/v1/readers/{domain}/{product}"): _ADDRESS,
    ("GET", "/api/v1/readers/{domain}/{product}/{port}"): _ADDRESS,
    ("GET", "/api/v1/schemas/{fingerprint}"): _DISCOVER,
    ("GET", "/api/v1/export/{format}"): _DISCOVER,
    ("GET", "/api/v1/products/{domain}/{product}/export/{format}"): _ADDRESS,
    ("GET", "/api/v1/search"): _DISCOVER,
    # the gate
    ("POST", "/api/v1/gate/check"): _DISCOVER,
    ("GET", "/api/v1/gate/past/{domain}/{product}"): _ADDRESS,
    ("GET", "/api/v1/gate/rules"): _DISCOVER,
    ("GET", "/api/v1/versions/{domain}/{product}/{port}"): _ADDRESS,
    ("GET", "/api/v1/versions/{domain}/{product}/{port}/{number}"): _ADDRESS,
    ("POST", "/api/v1/waivers"): RouteRight(Action.WAIVE, About.WAIVED),
    ("GET", "/api/v1/waivers"): _DISCOVER,
    ("POST", "/api/v1/waivers/{number}/revoke"): RouteRight(Action.WAIVE, About.WAIVER),
    # generations
    ("GET", _LINE): _ADDRESS,
    ("POST", f"{_LINE}/open"): _GENERATION,
    ("POST", f"{_LINE}/{{number}}/hold"): _GENERATION,
    ("POST", f"{_LINE}/{{number}}/release"): _GENERATION,
    ("POST", f"{_LINE}/{{number}}/switch"): _GENERATION,
    ("POST", f"{_LINE}/{{number}}/abandon"): _GENERATION,
    ("POST", f"{_LINE}/{{number}}/retire"): _GENERATION,
    # service levels
    ("GET", "/api/v1/service-levels"): _DISCOVER,
    ("GET", _LEVELS): _ADDRESS,
    ("GET", f"{_LEVELS}/history"): _ADDRESS,
    ("PUT", _LEVELS): RouteRight(Action.OBSERVE, About.ADDRESS),
    # who may write the events may say how many there are
    ("GET", f"{_LEVELS}/counts"): _ADDRESS,
    ("POST", f"{_LEVELS}/counts"): RouteRight(Action.WRITE, About.ADDRESS),
    # profiles: they have values of events, so who sees them may read these
    ("GET", _PROFILE): RouteRight(Action.READ, About.ADDRESS),
    ("PUT", _PROFILE): RouteRight(Action.OBSERVE, About.ADDRESS),
    # readers that were seen
    ("GET", _SEEN_READERS): _ADDRESS,
    ("GET", f"{_SEEN_READERS}/{{port}}"): _ADDRESS,
    ("PUT", f"{_SEEN_READERS}/{{port}}"): RouteRight(Action.OBSERVE, About.ADDRESS),
    # processors; their quarantined events have data, so who sees these may read the port
    ("GET", _PROCESSOR): _ADDRESS,
    ("PUT", _PROCESSOR): RouteRight(Action.OBSERVE, About.ADDRESS),
    ("GET", _QUARANTINE): RouteRight(Action.READ, About.ADDRESS),
    ("PUT", _QUARANTINE): RouteRight(Action.OBSERVE, About.ADDRESS),
    # access
    ("GET", "/api/v1/access"): _DISCOVER,
    ("POST", "/api/v1/access"): RouteRight(Action.REQUEST_ACCESS, About.ASKED),
    ("POST", "/api/v1/access/{number}/grant"): _GRANT,
    ("POST", "/api/v1/access/{number}/refuse"): _GRANT,
    ("POST", "/api/v1/access/{number}/revoke"): _GRANT,
    ("GET", "/api/v1/access/readers"): _DISCOVER,
    ("POST", "/api/v1/access/readers"): _DISCOVER,
    ("GET", "/api/v1/access/acls"): _DISCOVER,
    ("POST", "/api/v1/access/acls"): _ADMINISTER,
    # problem reports
    ("GET", "/api/v1/problems"): _DISCOVER,
    ("POST", "/api/v1/problems"): RouteRight(Action.READ, About.REPORTED),
    ("POST", "/api/v1/problems/{number}/answer"): RouteRight(Action.REGISTER, About.PROBLEM),
    ("POST", "/api/v1/problems/{number}/close"): RouteRight(Action.REGISTER, About.PROBLEM),
    ("POST", "/api/v1/problems/{number}/withdraw"): RouteRight(Action.READ, About.PROBLEM),
    # replay jobs; the routes refuse who neither started a job nor owns its product. A report of progress declares nothing.
    ("GET", "/api/v1/replays"): _DISCOVER,
    ("POST", "/api/v1/replays"): RouteRight(Action.READ, About.REPLAYED),
    ("GET", _REPLAY): RouteRight(Action.DISCOVER, About.REPLAY),
    ("POST", f"{_REPLAY}/approve"): RouteRight(Action.GRANT, About.REPLAY),
    ("POST", f"{_REPLAY}/pause"): RouteRight(Action.READ, About.REPLAY),
    ("POST", f"{_REPLAY}/resume"): RouteRight(Action.READ, About.REPLAY),
    ("POST", f"{_REPLAY}/cancel"): RouteRight(Action.READ, About.REPLAY),
    ("PUT", f"{_REPLAY}/progress"): RouteRight(Action.DISCOVER, About.REPLAY),
    # the glossary
    ("GET", "/api/v1/glossary"): _DISCOVER,
    ("PUT", "/api/v1/glossary/{domain}"): RouteRight(Action.ADMINISTER, About.DOMAIN),
    # imports, keys, policies, the audit
    ("POST", "/api/v1/import"): _ADMINISTER,
    ("GET", "/api/v1/keys"): _ADMINISTER,
    ("POST", "/api/v1/keys"): _ADMINISTER,
    ("POST", "/api/v1/keys/{key_id}/rotate"): _ADMINISTER,
    ("POST", "/api/v1/keys/{key_id}/revoke"): _ADMINISTER,
    ("GET", "/api/v1/policies"): _DISCOVER,
    ("GET", "/api/v1/policies/history"): _DISCOVER,
    ("PUT", "/api/v1/policies"): _ADMINISTER,
    ("PUT", "/api/v1/policies/{domain}"): RouteRight(Action.ADMINISTER, About.DOMAIN),
    ("GET", "/api/v1/audit"): RouteRight(Action.AUDIT),
    # the service itself
    ("GET", "/health"): _PROBE,
    ("GET", "/docs"): _DISCOVER,
    ("GET", "/docs/oauth2-redirect"): _DISCOVER,
    ("GET", "/redoc"): _DISCOVER,
    ("GET", "/openapi.json"): _DISCOVER,
}
