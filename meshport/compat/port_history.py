"""Models of the versions of a port's contract: which there are, and what the gate and a person see between two of them."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, ConfigDict

from meshport.catalog import Waiver
from meshport.compat.finding import Verdict
from meshport.compat.schema_changes import SchemaChange
from meshport.product.input_port import AddressText


class _HistoryResponse(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ListedVersion(_HistoryResponse):
    """One version of a port's contract.

    Attributes:
        number: in its subject.
        schema_id: the id of its schema.
        fingerprint: SHA-256 of the schema's canonical form.
        created_at: when it was registered.
        bound: whether the port has it now.
    """

    number: int
    schema_id: int
    fingerprint: str
    created_at: datetime
    bound: bool = False


class PortVersions(_HistoryResponse):
    """The versions of a port's contract.

    Attributes:
        address: of the port, with its major.
        subject: the registry's subject of them.
        versions: newest first; deleted ones are left out.
        waivers: every waiver that was ever recorded for the port, newest first.
    """

    address: AddressText
    subject: str
    versions: tuple[ListedVersion, ...]
    waivers: tuple[Waiver, ...] = ()


class VersionComparison(_HistoryResponse):
    """What is different between two versions of a port's contract.

    Attributes:
        address: of the port, with its major.
        older: the one version.
        newer: the other one, of the higher number.
        changes: in words; empty where only the spelling differs.
        verdict: of the gate on the newer one against the older one alone, on the day on which the newer one was registered,
            under the level, for the readers of today and with the waivers of then.
        verdict_then: the same against every version that was there when the newer one was registered and that the level asks
            for, as the gate judged it.
    """

    address: AddressText
    older: ListedVersion
    newer: ListedVersion
    changes: tuple[SchemaChange, ...]
    verdict: Verdict
    verdict_then: Verdict
