"""Reads a JSON array of DataHub files from stdin, and writes, for each, why `datahub check metadata-file` refuses it, or null.

It runs in the environment of acryl-datahub.
"""

import json
import logging
import sys
import tempfile
from pathlib import Path

from datahub.cli.json_file import check_mce_file  # type: ignore[import-not-found] # of another environment

logging.disable(logging.CRITICAL)
found: list[str | None] = []
with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / "proposals.json"
    for proposals in json.load(sys.stdin):
        file.write_text(json.dumps(proposals), encoding="utf-8")
        try:
            check_mce_file(str(file))
        except Exception as error:  # noqa: BLE001 - it raises its base class
            found.append(str(error) or repr(error))
        else:
            found.append(None)
json.dump(found, sys.stdout)
