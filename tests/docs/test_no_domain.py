"""The library knows no domain."""

from __future__ import annotations

from pathlib import Path

from meshport.project.project import Project

ROOT = Path(__file__).parents[2]


def test_the_library_and_the_service_name_no_product_of_the_reference_mesh() -> None:
    """No domain, product or shared identifier of the reference mesh stands in meshport/ or registry/, examples included."""
    project = Project(ROOT)
    names = {each.product.address.key for each in project.products}
    names |= {f"{each.product.address.domain}." for each in project.products} | set(project.common.polysemes)
    for file in [*(ROOT / "meshport").rglob("*.py"), *(ROOT / "registry").rglob("*.py")]:
        text = file.read_text(encoding="utf-8")
        assert not [name for name in names if name in text], f"{file.relative_to(ROOT)} knows the reference mesh"
