"""The audit: one entry for each change and each refusal, in a chain of hashes.

The entry of a change is committed in the transaction of the change; a refusal has a transaction of its own, and is answered
after it. So an answered call has its entry, and a call has one.
"""

from meshport_registry.audit.call import AuditedCall, audited_call
from meshport_registry.audit.chain import AuditRecord, append

__all__ = ["AuditRecord", "AuditedCall", "append", "audited_call"]
