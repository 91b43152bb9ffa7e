"""The client of the registry: resolving addresses, finding schemas, registering and judging products."""

from meshport.registry.async_client import AsyncRegistry
from meshport.registry.audit import AuditLog, verify_export
from meshport.registry.client import Registry
from meshport.registry.generations import PortGenerations
from meshport.registry.login import RegistryLogin
from meshport.registry.subjects import ConfluentSubjects

__all__ = [
    "AsyncRegistry",
    "AuditLog",
    "ConfluentSubjects",
    "PortGenerations",
    "Registry",
    "RegistryLogin",
    "verify_export",
]
