"""What a browser asks for, and every page of the catalog by its path."""

from __future__ import annotations

from typing import Final

AS_BROWSER: Final = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"}

PAGES: Final = (
    "/",
    "/catalog",
    "/catalog/domains/operations",
    "/catalog/products/player/plays",
    "/catalog/products/network/old-delays",
    "/catalog/versions/operations/gates",
    "/catalog/versions/operations/gates?number=3&against=1",
    "/catalog/versions/player/plays",
    "/catalog/search?q=plays+artist",
    "/catalog/search?q=deprtures&domain=operations",
    "/catalog/search?q=xyzzyxyzzy",
    "/catalog/lineage/listening/plays-by-artist",
    "/catalog/lineage/artists/onboardings?field=rate_per_play&influences=true",
    "/catalog/lineage/operations/gates",
    "/catalog/data/operations/gates",
    "/catalog/data/player/plays",
    "/catalog/quarantine/operations/gates",
    "/catalog/quarantine/network/punctuality",
    "/catalog/quarantine/listening/plays-by-artist",
    "/catalog/lineage/network/punctuality",
    "/catalog/activity/network/punctuality",
    "/catalog/products/network/punctuality",
    "/catalog/activity/operations/gates",
    "/catalog/activity/network/old-delays",
    "/catalog/glossary",
    "/catalog/glossary?q=nothing",
    "/catalog/problems/operations/gates",
    "/catalog/login",
)
"""A path of every kind of page; each shows a product of the tests' mesh."""

ERRORS: Final = ("/nothing", "/catalog/products/network/delays-by-port", "/catalog/products/UPPER/case")
"""Paths that are answered with a page of an error."""
