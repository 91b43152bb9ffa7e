"""What the command that carries grants out reports of itself."""

from __future__ import annotations

from meshport.access.measures import CONNECTED, ENFORCED, EnforcementMeasures
from meshport.access.reconciler import Reconciled
from meshport.errors import KafkaError, RegistryUnavailable
from meshport.kafka.acls import Acl
from meshport.metrics.readiness import Readiness
from tests.metrics.samples import sample


def test_it_is_ready_while_the_registry_answers_and_clusters_take_changes() -> None:
    """Each reason is named, and is gone with the next look that succeeds."""
    readiness = Readiness("access enforce", [CONNECTED, ENFORCED])
    measures = EnforcementMeasures(readiness)
    assert len(readiness.state().reasons) == 2
    acl = Acl("User:a", "read", "topic", "shop.orders")
    measures.looked(Reconciled(created={None: {acl: "grant 1"}}, deleted={"eu": [acl]}), grants=3)
    assert readiness.state().ready
    assert sample("meshport_access_current_grants") == 3
    assert (sample("meshport_access_changed_acls_total", outcome="created") or 0) >= 1
    assert (sample("meshport_access_changed_acls_total", outcome="deleted") or 0) >= 1
    measures.looked(Reconciled(failed={"eu": KafkaError("eu takes no changes")}), grants=3)
    assert readiness.state().reasons == ("eu takes no changes",)
    assert sample("meshport_access_failed_clusters") == 1
    measures.unanswered(RegistryUnavailable("no route"))
    assert "the registry does not answer: no route" in readiness.state().reasons
    measures.looked(Reconciled(), grants=0)
    assert readiness.state().ready
    assert (sample("meshport_access_looks_total", outcome="unanswered") or 0) >= 1
