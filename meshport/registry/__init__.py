"""The registry's client: addresses resolved, schemas found, products registered, contracts judged."""

from meshport.registry.client import Registry
from meshport.registry.generations import PortGenerations

__all__ = ["PortGenerations", "Registry"]
