"""The pages of the catalog, one module each."""

from typing import Final

from meshport_registry.catalog.pages import (
    access,
    activity,
    changes,
    data,
    domain,
    glossary,
    lineage,
    login,
    problems,
    product,
    provider_login,
    quarantine,
    search,
    static,
    versions,
)

_PAGES: Final = (
    product,
    access,
    versions,
    lineage,
    data,
    quarantine,
    activity,
    changes,
    problems,
    domain,
    glossary,
    search,
    login,
    provider_login,
    static,
)
ROUTERS: Final = tuple(page.router for page in _PAGES)
"""The routers of the pages, but for the home page, whose `/` comes before Confluent's."""

__all__ = ["ROUTERS"]
