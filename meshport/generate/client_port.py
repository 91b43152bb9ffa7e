"""What a client in another language than Python needs of a port: its names, its key and its time."""

from __future__ import annotations

import uuid
from importlib.resources import files
from typing import Final

from meshport.binding import Binding
from meshport.event.bare import BARE
from meshport.generate.contract import ContractTypes, Field, Named, Scalar, Type, optional, pascal

__all__ = ["ClientPort", "template"]

# The types whose text is the same in every language. Values of others are written by Python's own rules.
_KEY_KINDS: Final = {"string", "int", "long", "boolean", "string-uuid"}
_TIME_KINDS: Final = {"long-timestamp-millis", "long-timestamp-micros"}


class ClientPort:
    """One port, as the generators of the other languages see it.

    Args:
        binding: of the port.
        contract: of the port.

    Attributes:
        contract: of the port.
        name: of the class that publishes and reads, such as `GateChangePort`.
        key: the fields of the key.
        time: the field of the event's time, if there is one.
        unpublished: why the client only reads; None for a client that publishes as well.
    """

    def __init__(self, binding: Binding, contract: ContractTypes) -> None:
        self.contract: Final = contract
        self.address: Final = binding.address
        self._fields = {each.name: each for each in contract.root.fields}
        self.key: Final = tuple(self._fields[each] for each in binding.key if each in self._fields)
        self.time: Final = self._fields.get(binding.time or "")
        self.unpublished: Final = self._unpublished(binding)
        taken = {each.name for each in contract.records} | {each.name for each in contract.enumerations}
        name = f"{contract.root.name}Port"
        while name in taken:
            name += "X"
        self.name: Final = name

    @property
    def file_name(self) -> str:
        """The port's name as one of a file: `operations-gate-changes-events`."""
        return "-".join((self.address.domain, self.address.product, str(self.address.port)))

    @property
    def class_name(self) -> str:
        """The port's name as one of a class: `OperationsGateChangesEvents`."""
        return pascal(self.file_name.replace("-", "_"))

    @property
    def facts(self) -> dict[str, str]:
        """What the templates of every language name."""
        schema = self.contract.schema
        return {
            "address": str(self.address),
            "path": f"{self.address.domain}/{self.address.product}/{self.address.port}",
            "major": str(self.address.major),
            "root": self.contract.root.name,
            "port": self.name,
            "fingerprint": schema.fingerprint,
            "guid": str(uuid.UUID(hex=schema.fingerprint[:32])),
        }

    def _unpublished(self, binding: Binding) -> str | None:
        if binding.envelope == BARE:
            return "its events are no CloudEvents"
        for each in self.key:
            kind = optional(each.type) or each.type
            if not (self._is_enumeration(kind) or (isinstance(kind, Scalar) and kind.kind in _KEY_KINDS)):
                return f"the key field {each.name!r} is neither text, a whole number, a boolean nor an enumeration"
        if self.time is not None and not (isinstance(self.time.type, Scalar) and self.time.type.kind in _TIME_KINDS):
            return f"the time field {self.time.name!r} is no timestamp"
        return None

    def _is_enumeration(self, kind: Type) -> bool:
        return isinstance(kind, Named) and self.contract.record(kind.name) is None

    def needs_value(self, field: Field) -> bool:
        """Return whether a key field may be null, which a publisher has to refuse."""
        return optional(field.type) is not None


def template(name: str, facts: dict[str, str]) -> str:
    """Return a template with the given facts in the places of their names, which stand there as `__NAME__`.

    Args:
        name: of the file in `templates/`.
        facts: by name, in lower case.
    """
    text = files(__package__).joinpath("templates", name).read_text(encoding="utf-8")
    for fact, value in facts.items():
        text = text.replace(f"__{fact.upper()}__", value)
    return text
