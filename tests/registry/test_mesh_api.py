"""The mesh API through the library's client."""

from meshport.registry import Registry
from tests.registry.schemas import plays, product, schema


def test_smoke(registry: Registry) -> None:
    """X."""
    p, s = plays(tags=["a", "b"])
    d = registry.register(p, s, dry_run=True)
    print(d)
    r = registry.register(p, s)
    print(r)
    assert not registry.register(p, s).changed
    print(registry.resolve("player/plays"))
    print(registry.search("plays"))
    q = product("mesh://listening/sessions", "mesh://player/plays:user")
    registry.register(q, {"events@1": schema("user", "n")})
    print(registry.lineage("player/plays"))
    print(registry.readers("player/plays"))
    print(registry.by_id(1), registry.by_fingerprint(schema("user", "track").fingerprint))
    print(registry.product(p.id))
