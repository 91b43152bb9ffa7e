"""Rights at Kafka: the ACLs that follow from products, readers and grants, and how they differ from those of a cluster.

`principals` names the principal of a product or a person, `rights` derives ACLs, `drift` compares.
"""

from __future__ import annotations

from meshport.access.principals import Principals
from meshport.access.rights import reader_acls, writer_acls
from meshport.kafka.acls import Acl

__all__ = ["Acl", "Principals", "reader_acls", "writer_acls"]
