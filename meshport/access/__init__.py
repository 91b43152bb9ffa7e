"""Rights at Kafka: the ACLs that follow from products, readers and grants, and how they differ from those of a cluster.

`principals` names the principal of a product or a person, `rights` has the ACLs of one writer, processor or reader,
`mesh_ports` finds the topics of ports, `inputs` asks what the policies permit, `derive` puts all of it together, `drift`
compares, `enforcement` looks at the clusters, `reconciler` carries grants out until they end.
"""

from __future__ import annotations

from meshport.access.derive import Rights, combined, product_rights, reader_rights
from meshport.access.drift import Drift, compare_acls
from meshport.access.enforcement import AclsOf, ClusterDrift, drift_of
from meshport.access.inputs import PermittedInputs
from meshport.access.mesh_ports import BoundPort, EveryPort, MeshPorts
from meshport.access.principals import Principals, caller_name, login
from meshport.access.reconciler import Reconciled, grant_rights, reconcile
from meshport.access.rights import processor_acls, reader_acls, writer_acls
from meshport.kafka.acls import Acl, ClusterAcls

__all__ = [
    "Acl",
    "AclsOf",
    "BoundPort",
    "ClusterAcls",
    "ClusterDrift",
    "Drift",
    "EveryPort",
    "MeshPorts",
    "PermittedInputs",
    "Principals",
    "Reconciled",
    "Rights",
    "caller_name",
    "combined",
    "compare_acls",
    "drift_of",
    "grant_rights",
    "login",
    "processor_acls",
    "product_rights",
    "reader_acls",
    "reader_rights",
    "reconcile",
    "writer_acls",
]
