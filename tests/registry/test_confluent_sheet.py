"""A sheet of requests, each with the answer of Confluent's registry 8.5, from its public source and its API reference.

The answers that differ on purpose are listed in registry/README.md, and are not on the sheet.
"""

from __future__ import annotations

from typing import Any

import httpx2

from tests.registry.sheet import BROKEN, INVALID, V1, answer_of

A2 = {"subject": "a", "version": 2, "id": 2}
READS: list[tuple[str, Any]] = [
    # subjects
    ("/subjects", ["a", "half", "s/1"]),
    ("/subjects/", ["a", "half", "s/1"]),
    ("/subjects?deleted=true", ["a", "gone", "half", "s/1"]),
    ("/subjects?deleted=TRUE", ["a", "gone", "half", "s/1"]),
    ("/subjects?deleted=yes", ["a", "half", "s/1"]),
    ("/subjects?deleted=1", ["a", "half", "s/1"]),
    ("/subjects?deleted=", ["a", "half", "s/1"]),
    ("/subjects?deletedOnly=true", ["gone"]),
    ("/subjects?deletedOnly=true&deleted=true", ["gone"]),
    ("/subjects?subjectPrefix=h", ["half"]),
    ("/subjects?limit=0", ["a", "half", "s/1"]),
    ("/subjects?limit=-7", ["a", "half", "s/1"]),
    ("/subjects?offset=1&limit=1", ["half"]),
    ("/subjects?offset=x", (404, 404)),
    ("/subjects?limit=1_0", (404, 404)),
    ("/subjects?limit=4294967296", (404, 404)),
    # versions of a subject
    ("/subjects/a/versions", [1, 2]),
    ("/subjects/a/versions/", [1, 2]),
    ("/subjects/:.:a/versions", [1, 2]),
    ("/subjects/%61/versions", [1, 2]),
    ("/subjects/s%2F1/versions", [1]),
    ("/subjects/half/versions", [2]),
    ("/subjects/half/versions?deleted=true", [1, 2]),
    ("/subjects/half/versions?deletedOnly=true", [1]),
    ("/subjects/half/versions?deletedAsNegative=true", [-1, 2]),
    ("/subjects/a/versions?deletedOnly=true", []),
    ("/subjects/gone/versions", (404, 40401)),
    ("/subjects/gone/versions?deleted=true", [1]),
    ("/subjects/gone/versions?deletedOnly=True", [1]),
    ("/subjects/none/versions?deletedOnly=true", (404, 40401)),
    ("/subjects/__GLOBAL/versions", (404, 40401)),
    ("/subjects/a%0Ab/versions", (404, 40401)),
    # one version
    ("/subjects/a/versions/2", A2),
    ("/subjects/a/versions/latest", A2),
    ("/subjects/a/versions/LATEST", A2),
    ("/subjects/a/versions/Latest", A2),
    ("/subjects/a/versions/%20latest%20", A2),
    ("/subjects/a/versions/-1", A2),
    ("/subjects/a/versions/+2", A2),
    ("/subjects/a/versions/002", A2),
    ("/subjects/a/versions/3", (404, 40402)),
    ("/subjects/a/versions/0", (422, 42202)),
    ("/subjects/a/versions/-2", (422, 42202)),
    ("/subjects/a/versions/1_0", (422, 42202)),
    ("/subjects/a/versions/1.0", (422, 42202)),
    ("/subjects/a/versions/x", (422, 42202)),
    ("/subjects/a/versions/2147483647", (404, 40402)),
    ("/subjects/a/versions/2147483648", (422, 42202)),
    ("/subjects/none/versions/x", (422, 42202)),
    ("/subjects/none/versions/1", (404, 40401)),
    ("/subjects/half/versions/1", (404, 40402)),
    ("/subjects/half/versions/1?deleted=true", {"subject": "half", "version": 1, "id": 1}),
    ("/subjects/gone/versions/latest", (404, 40401)),
    ("/subjects/gone/versions/latest?deleted=true", (404, 40402)),
    ("/subjects/gone/versions/1?deleted=true", {"subject": "gone", "version": 1, "id": 1}),
    ("/subjects/a/versions/2/referencedby", []),
    ("/subjects/gone/versions/1/referencedby", []),
    ("/subjects/none/versions/1/referencedby", (404, 40401)),
    # schemas by id
    ("/schemas/ids/1", {}),
    ("/schemas/ids/+1", {}),
    ("/schemas/ids/01", {}),
    ("/schemas/ids/1/", {}),
    ("/schemas/ids/1?subject=none", {}),
    ("/schemas/ids/1?fetchMaxId=true", {"maxId": 2}),
    ("/schemas/ids/1?fetchMaxId=yes", {}),
    ("/schemas/ids/3", (404, 40403)),
    ("/schemas/ids/0", (404, 40403)),
    ("/schemas/ids/-1", (404, 40403)),
    ("/schemas/ids/x", (404, 404)),
    ("/schemas/ids/1_0", (404, 404)),
    ("/schemas/ids/1.0", (404, 404)),
    ("/schemas/ids/2147483647", (404, 40403)),
    ("/schemas/ids/2147483648", (404, 404)),
    ("/schemas/ids/9223372036854775808", (404, 404)),
    ("/schemas/ids/x/subjects", (404, 404)),
    ("/schemas/ids/3/subjects", (404, 40403)),
    ("/schemas/ids/3/versions", (404, 40403)),
    ("/schemas/ids/1/subjects", ["a", "s/1"]),
    ("/schemas/ids/1/subjects?deleted=true", ["a", "gone", "half", "s/1"]),
    ("/schemas/ids/2/versions", [{"subject": "a", "version": 2}, {"subject": "half", "version": 2}]),
    ("/schemas/ids/2/versions?limit=1", [{"subject": "a", "version": 2}]),
    ("/schemas/guids/none", (404, 40403)),
    ("/schemas/guids/none/ids", []),
    ("/schemas/types", ["AVRO"]),
    # levels and modes
    ("/config", {"compatibilityLevel": "BACKWARD"}),
    ("/config/:.:", {"compatibilityLevel": "BACKWARD"}),
    ("/config/:.__GLOBAL:", {"compatibilityLevel": "BACKWARD"}),
    ("/config/a", (404, 40408)),
    ("/config/a?defaultToGlobal=TRUE", {"compatibilityLevel": "BACKWARD"}),
    ("/config/none", (404, 40408)),
    ("/config/__GLOBAL", (404, 40408)),
    ("/mode", {"mode": "READWRITE"}),
    ("/mode/:.:", {"mode": "READWRITE"}),
    ("/mode/:.__GLOBAL:", {"mode": "READWRITE"}),
    ("/mode/a", (404, 40409)),
    ("/mode/a?defaultToGlobal=true", {"mode": "READWRITE"}),
    # paths
    ("/nowhere", (404, 404)),
    ("/subjects/%ff/versions", (400, 400)),
    ("/subjects/%zz/versions", (400, 400)),
    ("/subjects/%/versions", (400, 400)),
    ("/schemas/ids/%ff", (400, 400)),
    ("/subjects/a%00/versions", (400, 400)),
    ("/%ff", (400, 400)),
]


def test_reads_are_answered_as_by_confluents_registry(sheet: httpx2.Client) -> None:
    """Each GET of the sheet has Confluent's answer, and HEAD the same status and headers without the body."""
    for path, expected in READS:
        response = sheet.get(path)
        assert answer_of(response) == expected, path
        head = sheet.head(path)
        assert (head.status_code, head.headers, head.content) == (response.status_code, response.headers, b""), path


LOOKUPS: list[tuple[str, Any, Any]] = [
    ("/subjects/a", {"schema": V1}, {"subject": "a", "version": 1, "id": 1}),
    ("/subjects/a?normalize=true", {"schema": V1}, {"subject": "a", "version": 1, "id": 1}),
    ("/subjects/a", {"schema": BROKEN}, (404, 40403)),
    ("/subjects/a", {}, (404, 40403)),
    ("/subjects/none", {}, (404, 40401)),
    ("/subjects/none", {"schema": V1}, (404, 40401)),
    ("/subjects/none", {"schema": INVALID}, (422, 42201)),
    ("/subjects/a", {"schema": INVALID}, (422, 42201)),
    ("/subjects/gone", {"schema": V1}, (404, 40401)),
    ("/subjects/gone?deleted=true", {"schema": V1}, {"subject": "gone", "version": 1, "id": 1}),
    ("/subjects/half", {"schema": V1}, (404, 40403)),
    ("/subjects/half?deleted=true", {"schema": V1}, {"subject": "half", "version": 1, "id": 1}),
    ("/compatibility/subjects/a/versions", {"schema": BROKEN}, {"is_compatible": False}),
    ("/compatibility/subjects/a/versions/latest", {"schema": V1}, {"is_compatible": True}),
    ("/compatibility/subjects/a/versions/LATEST", {"schema": V1}, {"is_compatible": True}),
    ("/compatibility/subjects/a/versions/-1", {"schema": V1}, {"is_compatible": True}),
    ("/compatibility/subjects/a/versions/3", {"schema": V1}, (404, 40402)),
    ("/compatibility/subjects/a/versions/0", {"schema": V1}, (422, 42202)),
    ("/compatibility/subjects/half/versions/1", {"schema": V1}, (404, 40402)),
    ("/compatibility/subjects/none/versions/1", {"schema": V1}, (404, 40402)),
    ("/compatibility/subjects/none/versions/latest", {"schema": V1}, {"is_compatible": True}),
    ("/compatibility/subjects/none/versions", {"schema": V1}, {"is_compatible": True}),
    ("/compatibility/subjects/a/versions", {"schema": INVALID}, (422, 42201)),
    ("/compatibility/subjects/a/versions", {}, (422, 42201)),
]


def test_lookups_and_checks_are_answered_as_by_confluents_registry(sheet: httpx2.Client) -> None:
    """Each POST of the sheet that changes nothing has Confluent's answer."""
    for path, body, expected in LOOKUPS:
        assert answer_of(sheet.post(path, json=body)) == expected, (path, body)
    verbose = sheet.post("/compatibility/subjects/a/versions?verbose=true", json={"schema": INVALID}).json()
    assert (verbose["is_compatible"], len(verbose["messages"])) == (False, 1)
