"""Open Data Product Standard 1.0 of Bitol: a document for each product, whose ports name their ODCS contracts.

Source: Bitol ODPS 1.0.0.
"""

from __future__ import annotations

import re
from typing import Any, Final

from meshport.address import Address
from meshport.binding import RegisteredProduct
from meshport.export.extract import Extract, lines_of, plain

VERSION: Final = "v1.0.0"
ADDRESS: Final = "address"
"""The custom property with a product's or a port's address."""


def odps(extract: Extract) -> list[dict[str, Any]]:
    """Return the documents of products. The contract of a port is its ODCS contract, whose id is the line's address."""
    return [_product(each, extract) for each in extract.products]


def _product(registered: RegisteredProduct, extract: Extract) -> dict[str, Any]:
    product = registered.descriptor
    inputs = [
        {"id": str(address), "version": str(address.major)}
        for address in (_line(each.address, extract) for each in product.input_ports)
    ]
    return plain({
        "apiVersion": VERSION,
        "kind": "DataProduct",
        "id": str(product.id),
        "name": product.display_name or product.address.key,
        "version": str(max(each.major for each in product.output_ports)),
        "status": str(product.status),
        "domain": product.address.domain,
        "tags": list(product.tags),
        "description": {"purpose": product.description},
        "authoritativeDefinitions": _definitions(product.source_code_location),
        "inputPorts": [
            {
                "name": each.address.key,
                "version": contract["version"],
                "contractId": contract["id"],
                "customProperties": [_custom("fields", list(each.fields))] if each.fields else None,
            }
            for each, contract in zip(product.input_ports, inputs, strict=True)
        ],
        "outputPorts": [
            {
                "name": line.port.name,
                "description": line.title,
                "type": "kafka",
                "version": str(line.port.major),
                "contractId": str(line.binding.address),
                "inputContracts": inputs,
                "customProperties": [
                    _custom(ADDRESS, str(line.binding.address)),
                    _custom("topic", line.binding.topic),
                    _custom("status", str(line.binding.status)),
                ],
            }
            for line in lines_of(registered)
        ],
        "managementPorts": [
            {
                "name": "registry",
                "content": "discoverability",
                "type": "rest",
                "url": f"{extract.registry_url}/api/v1/dataproducts/by-address/{product.address.key}",
            }
        ],
        "support": [_support(product.contact)] if product.contact else None,
        "team": {"name": product.owner},
        "productCreatedTs": registered.create_date.isoformat().replace("+00:00", "Z"),
        "customProperties": [
            _custom(ADDRESS, str(product.address)),
            _custom("archetype", str(product.archetype)),
            _custom("classification", product.classification),
        ],
    })  # fmt: skip


def _line(address: Address, extract: Extract) -> Address:
    """Return the address of the line that an input port reads; of one that is not there, the first one of its port."""
    line = extract.line(address)
    return address.at(address.port or "events", address.major or 1) if line is None else line.binding.address


def _definitions(location: str | None) -> list[dict[str, Any]] | None:
    """Return the location of a product's code, if it is a URL: others are paths of a repository."""
    return [{"type": "implementation", "url": location}] if re.match(r"https?://", location or "") else None


def _support(contact: str) -> dict[str, Any]:
    if re.fullmatch(r"[^@\s]+@[^@\s]+", contact):
        return {"channel": contact, "tool": "email", "url": f"mailto:{contact}"}
    return {"channel": contact}


def _custom(name: str, value: Any) -> dict[str, Any]:
    return {"property": name, "value": value}
