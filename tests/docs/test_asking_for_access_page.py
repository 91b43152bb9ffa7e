"""The page about asking for access: its blocks are run against a registry."""

from __future__ import annotations

import re
from pathlib import Path

from meshport.grants import GrantState
from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.docs.shell import shell
from tests.registry.schemas import plays

PAGE = Path(__file__).parents[2] / "docs/asking-for-access.md"


def test_the_blocks_do_what_the_page_says(tmp_path: Path) -> None:
    """A request is granted, listed and revoked, and the grants are carried out."""
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    settings = Settings(database=f"sqlite:///{tmp_path / 'registry.db'}", port=0, bootstrap_servers="k:1")
    with running(settings) as url, Registry(url) as registry:
        registry.register(*plays())
        shown = shell("".join(blocks), tmp_path, MESHPORT_REGISTRY=url)
        (found,) = registry.access.list()
    assert re.search(r"^1\s+billing/invoices\s+player/plays/events\s+granted\b", shown, re.MULTILINE)
    assert (found.state, found.reason) == (GrantState.REVOKED, "the contract has ended")
