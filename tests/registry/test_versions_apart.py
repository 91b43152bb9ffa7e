"""A registry and its clients one version apart: what a newer one adds is let by, or refused with what to update."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from meshport import __version__
from meshport.access import MeshPorts, Principals
from meshport.access.reconciler import grant_rights
from meshport.address import Address
from meshport.audit import AuditOutcome
from meshport.binding import Binding
from meshport.errors import MeshError, NewerRegistry, RegistrationRefused, RegistryUnavailable
from meshport.event.bare import reader_for
from meshport.generations import Generation, Generations, GenerationState, Hold, Phase
from meshport.grants import AccessRequest, GrantApproval
from meshport.newer import VERSION_HEADER, is_known
from meshport.product import Archetype, Status
from meshport.registry import Registry
from meshport_registry import Settings, running
from tests.plain_http import plain_http
from tests.registry.client_suite import CLIENT_SUITE
from tests.registry.newer import newer_registry
from tests.registry.schemas import plays, product
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
NEWER, OLDER = "99.0.0", "0.0.1"


@pytest.mark.parametrize("module", CLIENT_SUITE)
def test_the_clients_suite_passes_where_every_answer_has_unknown_fields(module: str) -> None:
    """Against a registry that adds fields to each JSON object of each answer, the client's tests pass as they are."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.registry.unknown_fields"]
    command += ["-k", "not postgres", module]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=2 * PATIENCE_S)
    assert done.returncode == 0, done.stdout[-4000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None, done.stdout
    assert int(passed[1]) > 0


def words(**later: str) -> Any:
    """Return a rewrite that replaces words of answers: the names are those of the words."""
    return lambda given: {key: later.get(f"{key}_{value}", value) for key, value in given.items()}


def test_a_word_that_is_not_known_breaks_no_call_that_does_not_need_it(sqlite: str) -> None:
    """States, kinds and forms of a newer registry are kept as text; what needs one names it, and what to do."""
    later = words(
        status_active="paused", archetype_aggregate="federated", envelope_cloudevents="protobuf", state_live="warming"
    )
    with newer_registry(sqlite, later) as url, Registry(url, keep=0, timeout=PATIENCE_S) as client:
        registered = client.register(*plays()).product
        assert client.register(product("mesh://listening/sessions", "mesh://player/plays"), plays()[1])
        binding = client.resolve("player/plays")
        assert (str(binding.status), binding.status is Status.ACTIVE, is_known(binding.status)) == (
            "paused",
            False,
            False,
        )
        found = {each.address.key: each for each in client.search().items}
        assert found["listening/sessions"].archetype == "federated"
        assert found["listening/sessions"].archetype not in list(Archetype)
        assert {str(each.status) for each in client.lineage("player/plays").nodes} == {"paused"}
        assert [str(each.status) for each in client.readers("player/plays")] == ["paused"]
        assert client.product("player/plays").guid == registered.guid
        assert [str(each.state) for each in client.generations("player/plays").list().generations] == ["warming"]
        assert binding.model_validate_json(binding.model_dump_json()) == binding
        with pytest.raises(
            NewerRegistry, match="the envelope of mesh://player/plays/events@1 is 'protobuf', which this ver"
        ):
            reader_for(binding, client)
        assert not client.product("player/plays").is_readable
        with pytest.raises(
            NewerRegistry, match=r"cannot read the descriptor of mesh://player/plays: status: Input should"
        ):
            assert client.product("player/plays").descriptor.address
        with pytest.raises(RegistryUnavailable, match="answered what no registry of this version sends"):
            client.past("player/plays")


def test_a_migration_that_is_not_known_breaks_no_reader_of_the_line() -> None:
    """A binding whose migration this version cannot read is a binding all the same, and is dumped as it came."""
    archive, migration = {"store": {"hot": "s3://a"}}, {"until": "2026-11-01T00:00:00Z", "fields": {"f": {"case": []}}}
    binding = Binding.model_validate(
        {
            **dict.fromkeys(("bootstrap_servers", "topic", "type", "subject", "schema_text", "owner"), "x"),
            "address": "mesh://player/plays/events@2",
            "partitions": 1,
            "schema_id": 1,
            "fingerprint": "0" * 64,
            "archive": archive,
            "migration": migration,
        }
    )
    dumped = binding.model_dump(mode="json")
    assert (dumped["archive"], dumped["migration"]) == (archive, migration)
    assert Binding.model_validate_json(binding.model_dump_json()).topic == "x"
    assert binding.migration is not None
    with pytest.raises(NewerRegistry, match=r"cannot read the migration: fields\.f: Input should be a valid string"):
        assert binding.migration.fields
    assert binding.archive is not None
    with pytest.raises(NewerRegistry, match="cannot read the archive: store: Input should be a valid string"):
        assert binding.archive.store


def test_a_grant_in_a_state_that_is_not_known_is_neither_carried_out_nor_ended(sqlite: str) -> None:
    """Grants are listed with the state as text; ACLs are not derived from it, since it may let a reader in or not."""
    with (
        newer_registry(sqlite, words(state_granted="suspended")) as url,
        Registry(url, keep=0, timeout=PATIENCE_S) as client,
    ):
        client.register(*plays())
        asked = client.access.request(
            AccessRequest(address=Address.parse("player/plays"), reader="ann", purpose="a test")
        )
        client.access.grant(asked.id, GrantApproval(until=datetime.now(UTC) + timedelta(days=1)))
        grants = client.access.list(current=True)
        assert [str(each.state) for each in grants] == ["suspended"]
        with pytest.raises(
            NewerRegistry, match=f"grant {asked.id} is 'suspended', which .*; it knows requested, granted"
        ):
            grant_rights(grants, MeshPorts(client), Principals())


def test_processors_pause_in_a_phase_that_is_not_known() -> None:
    """A hold of a newer builder in another phase than `build` may need the processors to pause, so they do."""
    line = {"number": 2, "topic": "t", "state": "building", "created_at": "2026-01-01T00:00:00Z"}
    for phase, paused in (("build", False), ("handover", True), ("verify", True)):
        found = Generations.model_validate(
            {
                "address": "mesh://player/plays/events@1",
                "generations": [line],
                "hold": {"number": 2, "phase": phase, "expires_in_s": 1},
            }
        )
        assert found.is_handed_over is paused


def test_words_of_an_answer_are_compared_by_value_and_identity() -> None:
    """A word that is not known equals none that is, whichever enumeration it is of; one that is known is the member."""
    made = Generation.model_validate({"number": 1, "topic": "t", "state": "warm", "created_at": "2026-01-01T00:00:00Z"})
    assert made.state == "warm"
    assert (made.state.value, made.state.name, str(made.state), f"{made.state}") == ("warm",) * 4
    assert not any(made.state is each or made.state == each for each in GenerationState)
    assert Generation.model_validate_json(made.model_dump_json()) == made
    known = made.model_validate(made.model_dump() | {"state": "live"})
    assert known.state is GenerationState.LIVE
    assert Hold.model_validate({"number": 1, "phase": "build", "expires_in_s": 1}).phase is Phase.BUILD
    assert all(is_known(each) for kind in (Status, Archetype, AuditOutcome) for each in kind)
    with pytest.raises(ValueError, match="phase"):
        Hold.model_validate({"number": 1, "phase": 7, "expires_in_s": 1})


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        ("/api/v1/dataproducts?dry_runs=true", {"descriptor": {}, "schemas": {}}, "dry_runs"),
        ("/api/v1/waivers?notify=1", {}, "notify"),
        ("/api/v1/dataproducts", {"descriptor": {}, "schemas": {}, "sandbox": True}, "sandbox"),
        ("/api/v1/access/acls", {"added": [{"principal": "User:a", "operation": "read", "resource": "topic",
                                            "name": "t", "pattern": "literal", "host": "10.0.0.1"}]}, "added.0.host"),
    ],
)  # fmt: skip
def test_what_a_registry_would_have_to_pass_over_is_refused(
    http: httpx2.Client, path: str, body: dict[str, Any], named: str
) -> None:
    """A parameter or a field that a registry does not know is refused by name: without it, the call means something else."""
    answer = http.post(path, json=body)
    assert answer.status_code == 422
    assert f"{named}: Meshport {__version__} does not know this" in str(answer.json()["findings"])


def test_reads_name_what_they_do_not_know_and_probes_do_not(http: httpx2.Client, registry: Registry) -> None:
    """A read that is narrowed by an unknown parameter is refused, also by the fast path; a probe's own parameters pass."""
    registry.register(*plays())
    for path in ("/api/v1/dataproducts?kind=a", "/api/v1/resolve/player/plays?at=2026-01-01", "/api/v1/audit?q=a"):
        assert http.get(path).status_code == 422, path
    assert http.get("/health?probe=1").status_code == 200
    assert http.get("/subjects?latestOnly=true").status_code == 200  # as Confluent's registry has it


def test_each_answer_names_the_version(http: httpx2.Client, registry: Registry) -> None:
    """The header is in each answer of either API, in errors and from the fast path as well."""
    registry.register(*plays())
    for path in ("/health", "/api/v1/resolve/player/plays", "/schemas/ids/1", "/subjects", "/nowhere", "/%ff", "/docs"):
        assert http.get(path).headers[VERSION_HEADER] == __version__, path


def answering(status: int, body: dict[str, Any], version: str | None) -> Registry:
    """Return a client of a registry of another version that answers everything alike."""
    headers = {} if version is None else {VERSION_HEADER: version}
    transport = httpx2.MockTransport(lambda _: httpx2.Response(status, json=body, headers=headers))
    return Registry("http://registry.example", transport=transport)


NOTE = {
    NEWER: f"the registry runs Meshport {NEWER}, which is newer than this client ({__version__}): update Meshport here",
    OLDER: f"the registry runs Meshport {OLDER}, which is older than this client ({__version__}): update the registry",
    None: f"the registry names no version: if it is Meshport's, it is older than this client ({__version__})",
    __version__: None,
}


@pytest.mark.parametrize("version", list(NOTE))
def test_an_error_that_a_version_may_have_caused_names_both(version: str | None) -> None:
    """An answer that cannot be read, a call or a field that the registry does not have: the hint says which one to update."""
    unknown = "the request cannot be read: sandbox: Extra inputs are not permitted"
    for status, body, kind, message in (
        (200, {"another": "shape"}, RegistryUnavailable, "answered what no registry of this version sends"),
        (404, {"error": "not-found", "message": "Not Found"}, RegistryUnavailable, "has no GET /health"),
        (
            405,
            {"error": "method-not-allowed", "message": "Method Not Allowed"},
            RegistryUnavailable,
            "has no GET /health",
        ),
        (
            422,
            {"message": unknown, "findings": ["sandbox: Extra inputs are not permitted"]},
            RegistrationRefused,
            unknown,
        ),
    ):
        with answering(status, body, version) as client, pytest.raises(kind, match=re.escape(message)) as raised:
            client.health()
        assert isinstance(raised.value, MeshError)
        if NOTE[version] is None:
            assert __version__ not in (raised.value.hint or "")
        else:
            assert raised.value.hint == NOTE[version]


def test_a_refusal_that_no_version_has_caused_has_its_own_hint() -> None:
    """What the registry refuses for what it is about names no versions, whichever runs there."""
    with (
        answering(409, {"message": "it has readers", "hint": "ask them"}, OLDER) as client,
        pytest.raises(RegistrationRefused) as raised,
    ):
        client.health()
    assert raised.value.hint == "ask them"


def test_a_client_names_its_version(sqlite: str) -> None:
    """Requests carry the version of the client, for the logs of what stands before a registry."""
    seen: list[str] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request.headers["user-agent"])
        return httpx2.Response(500)

    network = httpx2.MockTransport(answer)
    with Registry("http://registry.example", transport=network) as client, pytest.raises(RegistryUnavailable):
        client.health()
    assert seen == [f"meshport/{__version__}"]
    with running(Settings(database=sqlite, port=0)) as url, plain_http(url) as http:
        assert http.get("/health", headers={"user-agent": seen[0]}).status_code == 200
