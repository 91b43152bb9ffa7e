"""The verdicts for code scanning: SARIF 2.1.0 (OASIS).

The driver describes every rule of the table, so that a viewer can show its manual page. A waiver is a suppression, which a
viewer shows as dismissed. Section numbers in comments are those of the specification.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final
from urllib.parse import quote

from meshport.compat.finding import Finding, Part, Severity, State, Verdict
from meshport.compat.table import RULES
from meshport.gate import manual
from meshport.gate.render import wording
from meshport.gate.run import GateRun

VERSION: Final = "2.1.0"
SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_KINDS: Final = {Part.SCHEMA: "member", Part.PORT: "property", Part.PRODUCT: "property"}


def render(run: GateRun) -> str:
    """Return the run as one SARIF log, indented, since it is kept and read as a file."""
    return json.dumps(as_data(run), ensure_ascii=False, indent=2, default=str)


def as_data(run: GateRun) -> dict[str, Any]:
    """Return the run as the JSON data of a SARIF log with one run."""
    found = run.findings()
    rules = list(dict.fromkeys((*RULES, *(finding.rule for _, finding in found))))
    index = {rule: number for number, rule in enumerate(rules)}
    return {
        "$schema": SCHEMA,
        "version": VERSION,
        "runs": [
            {
                "tool": {"driver": {"name": "meshport gate", "rules": [_descriptor(rule) for rule in rules]}},
                "invocations": [{"executionSuccessful": True, "toolExecutionNotifications": _notifications(run)}],
                "results": [_result(verdict, finding, index[finding.rule]) for verdict, finding in found],
                "properties": {"against": run.against, "passes": run.passes, "counts": run.counts},
            }
        ],
    }


def _descriptor(rule_id: str) -> dict[str, Any]:
    rule = RULES.get(rule_id)
    if rule is None:  # a rule of a newer registry
        return {"id": rule_id}
    help_text = manual.page(rule)
    return {
        "id": rule.id,
        "shortDescription": _message(rule.purpose),
        "fullDescription": _message(help_text.partition("\n\n")[0]),
        "help": _message(help_text),
        "defaultConfiguration": {"level": rule.severity.value},
        "properties": {"breaks": [each.value for each in rule.breaks], "waivable": rule.waivable},
    }


def _result(verdict: Verdict, finding: Finding, rule_index: int) -> dict[str, Any]:
    why_excused = wording.why_excused(verdict, finding)
    words = [finding.message, why_excused or (finding.advice and f"Do: {finding.advice}")]
    result: dict[str, Any] = {
        "ruleId": finding.rule,
        "ruleIndex": rule_index,
        "level": _level(finding),
        "message": _message("\n".join(filter(None, words))),
        "locations": [_location(verdict, finding)],
        "partialFingerprints": {"ruleAddressPath/v1": _fingerprint(verdict, finding)},
        "properties": {
            "address": str(verdict.address),
            **finding.model_dump(mode="json", exclude={"rule", "message", "file", "line", "severity"}),
            "readers": [
                {"address": str(each.address), "owner": each.owner, "fields": list(each.fields)}
                for each in wording.broken(verdict, finding)
            ],
        },
    }
    if finding.state is State.WAIVED:
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": why_excused}]
    return result


def _level(finding: Finding) -> str:
    """Return a finding's level; a waived finding keeps the level that its suppression dismisses."""
    if finding.state in {State.SETTLED, State.UNREAD, State.UNUSED}:
        return "note"
    return "error" if finding.severity is Severity.ERROR else "warning"


def _location(verdict: Verdict, finding: Finding) -> dict[str, Any]:
    name = "/".join(filter(None, (str(verdict.address), finding.path)))
    location: dict[str, Any] = {
        "logicalLocations": [
            {
                "name": finding.path.rpartition(".")[2] or wording.short(verdict.address),
                "fullyQualifiedName": name,
                "kind": _KINDS[finding.part] if finding.path else "resource",
            }
        ]
    }
    if finding.file is not None:
        physical: dict[str, Any] = {"artifactLocation": {"uri": quote(finding.file), "uriBaseId": "%SRCROOT%"}}
        if finding.line is not None:
            physical["region"] = {"startLine": finding.line}
        location["physicalLocation"] = physical
    return location


def _fingerprint(verdict: Verdict, finding: Finding) -> str:
    """Return a value that is the same for the same change of the same port, whatever its line."""
    named = (finding.rule, str(verdict.address), finding.part.value, finding.path)
    return hashlib.sha256("\n".join(named).encode()).hexdigest()


def _notifications(run: GateRun) -> list[dict[str, Any]]:
    notifications = [{"level": "note", "message": _message(note)} for note in (wording.summary(run), *run.notes)]
    for evidence in run.evidence:
        level = "note" if evidence.passes else "error"
        notifications.append({"level": level, "message": _message(str(evidence))})
    return notifications


def _message(text: str) -> dict[str, str]:
    """Return a message without placeholders: literal braces are doubled (3.11.5)."""
    return {"text": text.replace("{", "{{").replace("}", "}}")}
