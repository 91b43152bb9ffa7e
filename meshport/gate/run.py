"""One run of the gate: the verdicts of every contract that was asked for, as the renderings take them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from meshport.compat.finding import Finding, Outcome, State, Verdict
from meshport.gate.evidence import Evidence


@dataclass(frozen=True)
class GateRun:
    """What was judged, and against what.

    Attributes:
        against: the before-side in words: `git main (3f2c1ab)`, `the registry at http://...`, `file plays.json`.
        verdicts: of the contracts that were judged.
        unchanged: how many contracts are as they were, so that nobody had to look at them.
        notes: what the reader of the verdicts has to know (`offline: waivers are not known`).
        evidence: proof on history, where it was asked for.
    """

    against: str
    verdicts: tuple[Verdict, ...] = ()
    unchanged: int = 0
    notes: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether nothing refuses any candidate, and no stored event speaks against one."""
        return all(each.passes for each in self.verdicts) and all(each.passes for each in self.evidence)

    @cached_property
    def counts(self) -> dict[str, int]:
        """Contracts by what became of them: `total`, `breaking`, `compatible`, `new`, `unchanged`."""
        outcomes = [Outcome.BREAKING if not each.passes else each.outcome for each in self.verdicts]
        counted = {outcome.value: outcomes.count(outcome) for outcome in Outcome}
        counted["unchanged"] += self.unchanged
        return {"total": len(self.verdicts) + self.unchanged, **counted}

    def findings(self, *states: State) -> list[tuple[Verdict, Finding]]:
        """Every finding with its verdict, in order; those of some states only, where any are given."""
        return [
            (verdict, finding)
            for verdict in self.verdicts
            for finding in verdict.findings
            if not states or finding.state in states
        ]
