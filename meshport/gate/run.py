"""One run of the gate: the verdicts of all requested contracts, as the renderings receive them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from meshport.compat.finding import Finding, Outcome, State, Verdict
from meshport.gate.evidence import Evidence


@dataclass(frozen=True)
class GateRun:
    """What was judged, and against what.

    Attributes:
        against: the source of the comparison in words: `git main (3f2c1ab)`, `the registry at http://...`, `file plays.json`.
        verdicts: on the contracts that were judged.
        unchanged: the number of contracts that were not judged, because none of their files differs.
        notes: what limits the verdicts (`offline: waivers are not known`).
        evidence: proof on history, if it was requested.
    """

    against: str
    verdicts: tuple[Verdict, ...] = ()
    unchanged: int = 0
    notes: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether no finding refuses a candidate, and a candidate reads every stored event that its predecessor reads."""
        return all(each.passes for each in self.verdicts) and all(each.passes for each in self.evidence)

    @cached_property
    def counts(self) -> dict[str, int]:
        """The number of contracts by outcome: `total`, `breaking`, `compatible`, `new`, `unchanged`."""
        outcomes = [Outcome.BREAKING if not each.passes else each.outcome for each in self.verdicts]
        counted = {outcome.value: outcomes.count(outcome) for outcome in Outcome}
        counted["unchanged"] += self.unchanged
        return {"total": len(self.verdicts) + self.unchanged, **counted}

    def findings(self, *states: State) -> list[tuple[Verdict, Finding]]:
        """Return every finding with its verdict, in order; only those of some states if any are given."""
        return [
            (verdict, finding)
            for verdict in self.verdicts
            for finding in verdict.findings
            if not states or finding.state in states
        ]
