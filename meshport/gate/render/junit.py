"""The verdicts as a test report: JUnit's XML, as Ant writes it and CI systems read it.

A product is a suite, a port a test case. Ant's schema allows one failure for each case, so a case's failure contains all
findings that refuse the port; other findings are in the suite's `system-out`. The gate measures no time, and its host does
not matter: `time` is 0, the timestamp is the day of the verdicts, and the host is `localhost`, which the schema prescribes
for an unknown host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from xml.etree import ElementTree as ET

from meshport.address import Address
from meshport.compat.finding import Verdict
from meshport.gate.evidence import Evidence
from meshport.gate.render import text, wording
from meshport.gate.run import GateRun

# XML 1.0, production 2: no character reference can name these, so they are escaped. CR is legal but read as LF.
_ILLEGAL: Final = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_NO_DAY: Final = "1970-01-01"


def render(run: GateRun) -> str:
    """Return the run as one `testsuites` document."""
    root = ET.Element("testsuites")
    days = [each.judged_on.isoformat() for each in run.verdicts]
    judged = [*(each.address for each in run.verdicts), *(each.address for each in run.evidence)]
    products = dict.fromkeys(each.of_product for each in judged)
    for number, product in enumerate(products):
        suite = ET.SubElement(root, "testsuite", _suite(product, number, max(days, default=_NO_DAY)))
        _product(suite, run, product)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")


def _suite(product: Address, number: int, day: str) -> dict[str, str]:
    return {
        "name": wording.short(product),
        "package": product.domain,
        "id": str(number),
        "hostname": "localhost",
        "timestamp": f"{day}T00:00:00",
        "time": "0",
    }


def _product(suite: ET.Element, run: GateRun, product: Address) -> None:
    properties = ET.SubElement(suite, "properties")
    ET.SubElement(properties, "property", name="against", value=_legal(run.against))
    output: list[str] = []
    for verdict in run.verdicts:
        if verdict.address.of_product == product:
            _port(_case(suite, verdict.address, ""), verdict)
            output += _warnings_and_excused(verdict)
    for evidence in run.evidence:
        if evidence.address.of_product == product:
            _history(_case(suite, evidence.address, ", stored events"), evidence)
    cases = suite.findall("testcase")
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(each.find("failure") is not None for each in cases)))
    suite.set("errors", "0")
    ET.SubElement(suite, "system-out").text = _joined((*output, *(f"note: {note}" for note in run.notes)))
    ET.SubElement(suite, "system-err")


def _case(suite: ET.Element, address: Address, aspect: str) -> ET.Element:
    port = wording.short(address).rpartition("/")[2]
    classname = f"{address.domain}.{address.product}"
    return ET.SubElement(suite, "testcase", name=f"{port}{aspect}", classname=classname, time="0")


def _port(case: ET.Element, verdict: Verdict) -> None:
    refusing = [finding for finding in verdict.findings if finding.refuses]
    if not refusing:
        return
    first, *others = refusing
    more = f" (and {len(others)} more)" if others else ""
    failure = ET.SubElement(case, "failure", type=first.rule, message=_legal(first.message + more))
    lines = [line for finding in refusing for line in text.finding_lines(verdict, finding)]
    who = (*wording.reader_lines(verdict), *wording.undeclared_lines(verdict))
    failure.text = _joined((*lines, *(f"  {line}" for line in who)))


def _history(case: ET.Element, evidence: Evidence) -> None:
    if not evidence.passes:
        lines = str(evidence).splitlines()
        failure = ET.SubElement(case, "failure", type="history", message=_legal(lines[0] if lines else ""))
        failure.text = _joined(lines)


def _warnings_and_excused(verdict: Verdict) -> list[str]:
    """Return the lines that do not fail the case: warnings, and findings that are waived, settled or unread."""
    lines = [line for each in verdict.findings if not each.refuses for line in text.finding_lines(verdict, each)]
    return [wording.short(verdict.address), *lines] if lines else []


def _joined(lines: Iterable[str]) -> str:
    return _legal("\n".join(lines))


def _legal(text: str) -> str:
    return _ILLEGAL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
