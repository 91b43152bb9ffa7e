"""Reads a JSON array of ODCS contracts from stdin, and writes, for each, the errors that `datacontract lint` finds.

It runs in the environment of datacontract-cli.
"""

import json
import logging
import sys

from datacontract.data_contract import DataContract  # type: ignore[import-not-found] # of another environment

logging.disable(logging.CRITICAL)
found = []
for contract in json.load(sys.stdin):
    run = DataContract(data_contract_str=json.dumps(contract), all_errors=True).lint()
    found.append([f"{check.reason}" for check in run.checks if check.result != "passed"])
json.dump(found, sys.stdout)
