"""Reads a JSON array of OpenAPI documents from stdin, and writes, for each, the errors that openapi-spec-validator finds in it.

It runs in the environment of openapi-spec-validator.
"""

import json
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator  # type: ignore[import-not-found] # of another environment

documents = json.load(sys.stdin)
found = [[str(error.message) for error in OpenAPIV31SpecValidator(each).iter_errors()] for each in documents]
json.dump(found, sys.stdout)
