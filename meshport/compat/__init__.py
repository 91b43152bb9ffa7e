"""The gate's engine: can these readers read what those writers wrote, and is what was promised around it kept.

One engine for the command line, the registry and the library, so that CI and server never disagree.
"""

from meshport.compat.case import Case
from meshport.compat.contract import Contract, Version
from meshport.compat.finding import Direction, Finding, Outcome, Part, ReaderVerdict, RollOut, Severity, State, Verdict
from meshport.compat.history import HistoryReport, check_history
from meshport.compat.judge import Past, judge_new, judge_port
from meshport.compat.rule import Rule, Scope
from meshport.compat.table import RULES

__all__ = [
    "RULES",
    "Case",
    "Contract",
    "Direction",
    "Finding",
    "Outcome",
    "Part",
    "Past",
    "ReaderVerdict",
    "HistoryReport",
    "RollOut",
    "Rule",
    "Scope",
    "Severity",
    "State",
    "Verdict",
    "Version",
    "check_history",
    "judge_new",
    "judge_port",
]
