"""The client of the registry: resolving addresses, finding schemas, registering and judging products."""

from meshport.registry.audit import AuditLog, verify_export
from meshport.registry.client import Registry
from meshport.registry.generations import PortGenerations

__all__ = ["AuditLog", "PortGenerations", "Registry", "verify_export"]
