"""Advice that several rules give, and what it needs to be typed as it stands: the address, the day, the waiver's command."""

from __future__ import annotations

import shlex
from datetime import date, timedelta
from typing import Final

from meshport.compat.contract import Contract
from meshport.compat.finding import Finding

WAIVE: Final = "`meshport gate waive`"
"""Stands in an advice for the command that waives this very finding."""
NEW_MAJOR: Final = "publish it as a new major beside this one: `meshport new ADDRESS --major`"
DAY: Final = "<day>"
"""Stands in an advice for a day that leaves readers time."""

_NOTICE: Final = timedelta(days=30)


def new_major(before: Contract) -> str:
    """Return the advice to publish the port as a new major line beside the present one."""
    address = before.address.of_product.key
    if before.port.name != before.product.default_port.name:
        address += f"/{before.port.name}"
    return f"publish a new major beside this one: `meshport new {address} --major`"


def typed(finding: Finding, contract: Contract, today: date) -> str:
    """Return the advice of a finding with the port's address, a day in a month, and the whole command of a waiver.

    Args:
        finding: of the port.
        contract: the port.
        today: the day (UTC) of the judgement.
    """
    day = today + _NOTICE
    at = f" --at {shlex.quote(finding.path)}" if finding.path else ""
    waive = (
        f"`meshport gate waive {contract.address.key} --rule {finding.rule}{at} --until {day} "
        '--approver "NAME" --reason "WHY"`'
    )
    address = f"{contract.product.address.key}/{contract.port.name}"
    return finding.advice.replace("new ADDRESS", f"new {address}").replace(WAIVE, waive).replace(DAY, str(day))
