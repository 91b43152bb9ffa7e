"""The verdict on one output port: every rule asked, then what is settled, waived or unread set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from meshport.catalog import Reader, Waiver
from meshport.compat.contract import Contract, Version
from meshport.compat.finding import Verdict
from meshport.product import Product


@dataclass(frozen=True)
class Past:
    """A port as its readers know it.

    Attributes:
        contract: as it stands.
        versions: every schema that it had, oldest first; the last one is the contract's.
        readers: whoever is known to read it.
        waivers: that were ever recorded for it.
    """

    contract: Contract
    versions: tuple[Version, ...]
    readers: tuple[Reader, ...] = ()
    waivers: tuple[Waiver, ...] = ()


def judge_port(past: Past, after: Contract | None, product: Product | None, *, today: date) -> Verdict:
    """The verdict on a port that is there already.

    Args:
        past: what its readers rely on.
        after: the port as it would be; None where it is gone.
        product: the product as it would be; None where it is gone.
        today: the day (UTC), which decides whether a waiver holds.

    Raises:
        SchemaError: two schemas that cannot be compared; never to be read as compatible.
    """
    raise NotImplementedError


def judge_new(contract: Contract, *, today: date, readers: Sequence[Reader] = ()) -> Verdict:
    """The verdict on a port that nobody knows yet: `new`, unless its declaration is unsound by itself.

    Args:
        contract: the port.
        today: the day (UTC).
        readers: who would read it.
    """
    raise NotImplementedError
