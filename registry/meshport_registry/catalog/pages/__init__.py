"""The pages of the catalog, one module each."""

from typing import Final

from meshport_registry.catalog.pages import access, domain, lineage, login, product, search, static, versions

ROUTERS: Final = tuple(page.router for page in (product, access, lineage, versions, domain, search, login, static))
"""The routers of the pages, but for the home page, whose `/` comes before Confluent's."""

__all__ = ["ROUTERS"]
