"""Check each contract of a product by itself, with the gate's own rules, before a registry judges the product."""

from __future__ import annotations

from datetime import date

from meshport.compat import RULES, Contract, Finding, Part, judge_new
from meshport.errors import SchemaError
from meshport.project.project import ProjectProduct


def check_contracts(product: ProjectProduct, *, today: date) -> tuple[Finding, ...]:
    """Check the schemas of a product's ports.

    Args:
        product: of the project.
        today: the day (UTC).

    Returns:
        What the gate would refuse of a new product. A registered one may have it since before the rule, or by a waiver.

    Raises:
        SchemaError: what no waiver lets pass, such as a default that is no value of its field.
    """
    descriptor = product.product
    found: list[Finding] = []
    for port in descriptor.output_ports:
        verdict = judge_new(Contract(descriptor, port, product.schema(port)), today=today)
        for each in verdict.findings:
            if not each.refuses or each.part is not Part.SCHEMA:
                continue
            if not RULES[each.rule].waivable:
                at = descriptor.port_address(port).key
                words = f"{at}: {each.rule} at {each.path}: {each.message}"
                raise SchemaError(words, source=str(product.descriptor_file), hint=each.advice, rule=each.rule)
            found.append(each)
    return tuple(found)
