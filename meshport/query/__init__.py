"""Asking a port's past: its events, archived and live, as a table for SQL.

    rows       the rows of a port up to a boundary: files of its archive, and what its topic has behind them
    moment     which of them count: as of a time, as it was known at a time
    defaults   of fields that older rows do not have
    views      the views that SQL sees
    table      a port as a table

It needs the extra `meshport[query]`.
"""

from __future__ import annotations

from meshport.query.moment import Moment
from meshport.query.table import Answer, Table

__all__ = ["Answer", "Moment", "Table"]
