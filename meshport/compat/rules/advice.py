"""Advice that several rules give."""

from __future__ import annotations

from meshport.compat.contract import Contract


def new_major(before: Contract) -> str:
    """Return the advice to publish the port as a new major line beside the present one."""
    address = before.address.of_product.key
    if before.port.name != before.product.default_port.name:
        address += f"/{before.port.name}"
    return f"publish a new major beside this one: `meshport new {address} --major`"
