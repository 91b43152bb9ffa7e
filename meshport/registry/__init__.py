"""The registry's client: addresses resolved, schemas found, products registered, contracts judged."""

from meshport.registry.client import Registry, SchemaSource

__all__ = ["Registry", "SchemaSource"]
