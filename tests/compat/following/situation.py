"""The situation that an advice is followed in: a change of a port, its history, and what has been done since."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

from meshport.compat import Contract, Past, Verdict, Version, judge_new, judge_port
from meshport.compat.corpus import Fixture, contract_of
from meshport.compat.finding import Finding
from meshport.product import OutputPort, Product, Status
from meshport.schema import parse_schema
from tests.compat.contracts import TODAY, judge_change
from tests.compat.following.forms import field_at, full_names, record_at


@dataclass
class Situation:
    """A change that the gate refuses or warns of, and what has been done since.

    Attributes:
        past: the port as its readers know it.
        was: its descriptor and schema, as JSON data.
        now: those of the candidate.
        gone: `port` or `product` where the candidate lacks it, else None.
        retired: whether the port was retired, after which the gate does not judge it.
        lines: the schemas of lines that were added, by major.
    """

    past: Past
    was: tuple[dict[str, Any], Any]
    now: tuple[dict[str, Any], Any]
    gone: str | None
    retired: bool = False
    lines: dict[int, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, fixture: Fixture) -> Situation:
        """Return the situation of a fixture."""
        before = contract_of(fixture.before)
        was, now = (deepcopy((side[0], full_names(side[1]))) for side in (fixture.before, fixture.after))
        return cls(Past(before, fixture.versions), was, now, fixture.gone)

    @property
    def document(self) -> dict[str, Any]:
        """The candidate's descriptor, to be edited."""
        return self.now[0]

    @property
    def schema(self) -> Any:
        """The candidate's schema, to be edited."""
        return self.now[1]

    @property
    def port(self) -> dict[str, Any]:
        """The port as the candidate's descriptor declares it."""
        return port_in(self.document, self.past.contract.port)

    def record(self, path: str) -> dict[str, Any]:
        """Return the candidate's record that has, or would have, the field at a path."""
        return record_at(self.schema, path)

    def field(self, path: str) -> dict[str, Any]:
        """Return the candidate's field at a path, which has to be there."""
        found = field_at(self.schema, path)
        assert found is not None, f"the candidate has no field {path}"
        return found

    def field_before(self, path: str) -> dict[str, Any]:
        """Return the field at a path as the readers know it, which has to be there."""
        found = field_at(self.was[1], path)
        assert found is not None, f"the readers know no field {path}"
        return found

    def keep(self, path: str) -> dict[str, Any] | None:
        """Put a field back as it was, and return how the candidate had it; None if it had no such field."""
        record, before = self.record(path), deepcopy(self.field_before(path))
        for index, each in enumerate(record["fields"]):
            if each["name"] == before["name"]:
                after: dict[str, Any] = each
                record["fields"][index] = before
                return after
        record["fields"].append(before)
        return None

    def judged(self) -> Verdict:
        """Return the verdict on the port; a line that was added has to pass too."""
        before = self.past.contract
        if self.retired:
            product = before.product.model_copy(update={"status": Status.RETIRED})
            contract = replace(before, product=product)
            past = replace(self.past, contract=contract)
            return judge_port(past, contract if self.gone is None else None, product, today=TODAY)
        if self.gone is None and self.lines:
            self._judge_lines(Product.model_validate(self.document))
        return judge_change(self.past, self.now, self.gone)

    def release(self) -> None:
        """Let the readers take the candidate as the next version; it has to pass first."""
        verdict = self.judged()
        assert verdict.passes, [str(each) for each in verdict.findings]
        after = contract_of(self.now)
        version = Version(self.past.versions[-1].number + 1, after.schema)
        self.past = replace(self.past, contract=after, versions=(*self.past.versions, version))
        self.was = deepcopy(self.now)

    def _judge_lines(self, product: Product) -> None:
        for major, form in self.lines.items():
            port = product.port(self.past.contract.port.name, major)
            assert port is not None
            verdict = judge_new(Contract(product, port, parse_schema(json.dumps(form))), today=TODAY)
            assert verdict.passes, [str(each) for each in verdict.findings]


@dataclass(frozen=True)
class Advice:
    """One alternative of a finding's advice, and the situation that it is followed in.

    Attributes:
        words: the match of the text with its kind; its groups are what the text names.
        finding: whose advice it is.
        situation: to be changed by what follows the advice.
    """

    words: re.Match[str]
    finding: Finding
    situation: Situation

    def __getitem__(self, name: str) -> str | Any:
        """Return the text of a group, None where the text has no such part."""
        return self.words[name]

    @property
    def text(self) -> str:
        """The whole alternative."""
        return self.words.string

    @property
    def path(self) -> str:
        """The finding's path."""
        return self.finding.path


def port_in(document: dict[str, Any], port: OutputPort) -> dict[str, Any]:
    """Return the entry of a port in a descriptor."""
    found: dict[str, Any] = next(
        each
        for each in document["outputPorts"]
        if each["name"] == port.name and int(each.get("major", 1)) == port.major
    )
    return found
