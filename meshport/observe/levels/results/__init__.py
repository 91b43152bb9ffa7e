"""The data product `mesh/service-levels`: its declaration, its contract, and the events that observers publish in it."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from meshport.address import Address
from meshport.errors import NotRegistered
from meshport.kafka.admins import ClusterAdmins
from meshport.product import parse_product
from meshport.project.apply import carry_out, plan
from meshport.project.project import ProjectProduct
from meshport.registry import Registry
from meshport.schema import parse_schema
from meshport.service_levels import MeasuredLevels

__all__ = ["RESULTS", "record_of", "register_results", "results_product"]

RESULTS: Final = Address.parse("mesh://mesh/service-levels")
"""The address of the results."""
_FOLDER: Final = files(__name__)


def results_product() -> ProjectProduct:
    """Return the product as a project would have it."""
    product = parse_product((_FOLDER / "product.yaml").read_text(encoding="utf-8"))
    schema = parse_schema((_FOLDER / "results.avsc").read_text(encoding="utf-8"))
    return ProjectProduct(product, Path(), {(each.name, each.major): schema for each in product.output_ports})


def register_results(registry: Registry, admins: ClusterAdmins) -> bool:
    """Register the product and make its topic, where no version of its contract is this one; return whether that was needed.

    An observer of an older release leaves the newer contract as it is.

    Raises:
        RegistrationRefused: the caller may not register it: a caller that may has to do so once for each version of the contract.
        RegistryUnavailable: the registry did not answer.
        KafkaError: the topic could not be made.
    """
    ours = results_product()
    port = ours.product.default_port
    with suppress(NotRegistered):
        known = registry.versions(ours.product.port_address(port)).versions
        if ours.schema(port).fingerprint in {each.fingerprint for each in known}:
            return False
    (planned,) = plan([ours], registry, admins)
    carry_out(planned, registry, admins)
    return True


def record_of(address: Address, measured: MeasuredLevels, changed: Collection[str]) -> dict[str, Any]:
    """Return the event's record of what was measured of a port.

    Args:
        address: of the port, with its major.
        measured: what was measured.
        changed: the promises whose state has changed, in words.
    """
    found, delay, volume = measured.measurement, measured.measurement.delay_ms, measured.measurement.volume
    return {
        "address": str(address),
        "at": measured.at,
        "state": str(measured.state),
        "changed": sorted(changed),
        "levels": [
            {
                "property": each.property,
                "promised": each.promised,
                "state": str(each.state),
                "measured": each.measured,
                "budget_left": each.budget_left,
                "reason": each.reason,
                "measured_by": None if each.measured_by is None else str(each.measured_by),
                "since": each.since,
            }
            for each in measured.levels
        ],
        "delay_p50_ms": delay.p50 if delay else None,
        "delay_p95_ms": delay.p95 if delay else None,
        "delay_p99_ms": delay.p99 if delay else None,
        "interval_s": found.interval_s,
        "completeness": found.completeness,
        "uniqueness": found.uniqueness,
        "validity": found.validity,
        "availability": found.availability,
        "events_last_hour": volume.last_hour if volume else None,
        "events_day_before": volume.day_before if volume else None,
        "events_week_before": volume.week_before if volume else None,
        "drift": dict(found.drift),
    }
