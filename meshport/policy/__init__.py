"""Policies as code: who may do what, decided by Cedar.

One set of policies decides for every route of the registry and for Kafka's ACLs. The package brings the built-in
policies; a project adds global ones and those of its domains.
"""

from meshport.policy.confinement import PolicyText
from meshport.policy.entities import (
    MESH,
    Action,
    DomainResource,
    MeshResource,
    ProductResource,
    Resource,
    SubjectResource,
    written,
)
from meshport.policy.policy_set import BUILT_IN, Decision, Policy, PolicySet

__all__ = [
    "BUILT_IN",
    "MESH",
    "Action",
    "Decision",
    "DomainResource",
    "MeshResource",
    "Policy",
    "PolicySet",
    "PolicyText",
    "ProductResource",
    "Resource",
    "SubjectResource",
    "written",
]
