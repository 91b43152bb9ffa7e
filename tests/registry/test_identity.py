"""Who gets through the registry's door with a key or without one, and how fast refusals are."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from meshport.api_keys import NewApiKey
from meshport.errors import RegistryUnavailable
from meshport_registry import Settings, running, tables
from meshport_registry.audit.pacing import Pacing
from meshport_registry.errors import Unauthenticated
from meshport_registry.identity.credentials import KeyShown
from meshport_registry.identity.known_keys import FRESH_S, KnownKeys
from meshport_registry.identity.offline import KeysInDatabase
from meshport_registry.settings import database_url
from meshport_registry.store import RegistryStore
from tests.registry.door import CONFLUENT, MESH, bearer, made_key, refusal, served


def test_a_registry_without_identities_answers_everyone(sqlite: str) -> None:
    """Without a key, a provider or an authority every caller is anonymous in the group local, whatever it shows."""
    with served(Settings(database=sqlite, port=0)) as client:
        assert client.get(CONFLUENT).status_code == 200
        assert client.get(CONFLUENT, headers=bearer("nothing")).status_code == 200


def test_a_key_opens_both_apis_as_bearer_and_by_basic(sqlite: str) -> None:
    """A key is taken as a bearer token and, for Confluent's clients, as user and password."""
    key = made_key(sqlite)
    with served(Settings(database=sqlite, port=0)) as client:
        for path in (CONFLUENT, MESH, "/schemas/types"):
            assert client.get(path, headers=bearer(key.text)).status_code == 200
            assert client.get(path, auth=(key.id, key.secret)).status_code == 200
            assert "no API key, token or client certificate" in refusal(client.get(path)).replace("shows ", "")


def test_wrong_keys_are_refused_alike(sqlite: str) -> None:
    """A wrong secret and an unknown id get the same answer; a header that is no credential is refused too."""
    key = made_key(sqlite)
    wrong = [
        bearer(f"mpk_{key.id}_{'A' * 43}"),
        bearer(f"mpk_{'a' * 12}_{key.secret}"),
        bearer(f"mpk_{key.id}"),
        bearer(key.text + "A"),
    ]
    with served(Settings(database=sqlite, port=0)) as client:
        messages = {refusal(client.get(MESH, headers=each)) for each in wrong}
        assert messages == {"the API key is not known"}
        for value in ("", "Bearer", "Digest x", "Basic !!!", "Basic " + base64.b64encode(b"no colon").decode()):
            refusal(client.get(CONFLUENT, headers={"authorization": value}))
        both = [("authorization", f"Bearer {key.text}"), ("authorization", "Bearer x")]
        refusal(client.get(CONFLUENT, headers=both))


def test_a_key_ends_by_itself(database: str) -> None:
    """A key is refused after its last instant, and the one who shows its secret learns why."""
    key = made_key(database)
    store = RegistryStore(database_url(database)).open()
    asyncio.run(store.write(lambda c: c.execute(update(tables.api_key).values(ends_at=1_000_000))))
    store.close()
    with served(Settings(database=database, port=0)) as client:
        assert "ended at 1970-01-01T00:00:01" in refusal(client.get(MESH, headers=bearer(key.text)))


def test_a_revoked_key_is_refused_by_this_process_at_once(database: str) -> None:
    """The request after the one that revokes a key is refused, and a rotated key lives on beside the new one."""
    admin = made_key(database, "ann@example.org", "mesh-admins")
    with served(Settings(database=database, port=0)) as client:
        client.headers.update(bearer(admin.text))
        made = client.post("/api/v1/keys", json={"name": "shop/orders", "groups": ["shop"]})
        assert made.status_code == 201
        assert made.headers["cache-control"] == "no-store"
        old = NewApiKey.model_validate_json(made.content)
        assert old.created_by == "ann@example.org"
        rotated = client.post(f"/api/v1/keys/{old.id}/rotate", json={"overlap_hours": 1})
        new = NewApiKey.model_validate_json(rotated.content)
        assert (new.name, new.groups) == ("shop/orders", ("shop",))
        for key in (old, new):
            assert client.get(CONFLUENT, headers=bearer(key.text)).status_code == 200
        assert client.post(f"/api/v1/keys/{old.id}/revoke", json={}).status_code == 200
        assert "is revoked" in refusal(client.get(MESH, headers=bearer(old.text)))
        assert client.get(CONFLUENT, headers=bearer(new.text)).status_code == 200
        assert client.post(f"/api/v1/keys/{old.id}/rotate", json={}).status_code == 409
        at_once = client.post(f"/api/v1/keys/{new.id}/rotate", json={"overlap_hours": 0})
        assert at_once.status_code == 201
        assert "ended at" in refusal(client.get(MESH, headers=bearer(new.text)))
        listed = client.get("/api/v1/keys")
        assert old.secret not in listed.text
        assert {each["id"] for each in listed.json()} >= {admin.id, old.id, new.id}


def test_a_key_that_another_process_revokes_is_refused(database: str) -> None:
    """Another process learns of a revocation with its next look at the database, a second after the one before."""
    key, now = made_key(database), [0.0]
    store = RegistryStore(database_url(database)).open()
    known = KnownKeys(store, clock=lambda: now[0])

    def ask() -> str:
        return asyncio.run(known.caller(KeyShown(key.id, key.secret))).name

    try:
        assert ask() == "billing/invoices"
        with KeysInDatabase(database) as keys:
            keys.revoke(key.id)
        now[0] += FRESH_S
        with pytest.raises(Unauthenticated, match="is revoked"):
            ask()
    finally:
        store.close()


def test_only_hashes_of_secrets_are_stored(tmp_path: Path) -> None:
    """The database has no secret of a key, in whichever form."""
    sqlite = f"sqlite:///{tmp_path / 'registry.db'}"
    key = made_key(sqlite)
    stored = b"".join(each.read_bytes() for each in tmp_path.iterdir())
    assert key.secret.encode() not in stored
    assert key.secret not in repr(key)


def test_nobody_gets_a_reserved_name_or_group(sqlite: str) -> None:
    """No key gives the name anonymous or the group local, which stand for callers without identity."""
    admin = made_key(sqlite, "ann@example.org", "mesh-admins")
    with served(Settings(database=sqlite, port=0)) as client:
        client.headers.update(bearer(admin.text))
        for body in ({"name": "anonymous"}, {"name": "x", "groups": ["local"]}, {"name": "x", "until": "2020-01-01"}):
            assert client.post("/api/v1/keys", json=body).status_code == 422


def test_keys_are_for_those_who_administer(sqlite: str) -> None:
    """A caller outside of mesh-admins neither sees nor makes keys."""
    key = made_key(sqlite, "shop/orders", "shop")
    with served(Settings(database=sqlite, port=0)) as client:
        client.headers.update(bearer(key.text))
        for answer in (client.get("/api/v1/keys"), client.post("/api/v1/keys", json={"name": "x"})):
            assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")


def test_a_registry_whose_only_key_is_revoked_stays_closed(database: str) -> None:
    """A key that ended or was revoked still means that callers have identities."""
    key = made_key(database)
    with KeysInDatabase(database) as keys:
        keys.revoke(key.id)
    with served(Settings(database=database, port=0)) as client:
        refusal(client.get(CONFLUENT))


def test_probes_need_no_identity_and_nothing_else_is_open(sqlite: str) -> None:
    """`/health` is open in exactly this spelling; pages, unknown paths and HEAD are not."""
    made_key(sqlite)
    with served(Settings(database=sqlite, port=0)) as client:
        assert client.get("/health").status_code == 200
        for path in ("/", "/docs", "/openapi.json", "/no/such/path", "/health/", "/schemas/ids/1"):
            assert client.get(path).status_code == 401
        head = client.head(CONFLUENT)
        assert (head.status_code, head.content) == (401, b"")


def test_anonymous_callers_pass_where_they_are_allowed(sqlite: str) -> None:
    """With `allow_anonymous` a request that shows nothing passes the door; one that shows a wrong key does not."""
    made_key(sqlite)
    with served(Settings(database=sqlite, port=0, allow_anonymous=True)) as client:
        assert client.get("/health").status_code == 200
        assert "administer" in refusal(client.get("/api/v1/keys"))
        refusal(client.get(CONFLUENT, headers=bearer("mpk_a_b")))


def test_other_machines_are_let_in_only_with_identities(sqlite: str) -> None:
    """A registry that knows no identities does not listen on other interfaces, unless that is said."""
    with (
        pytest.raises(RegistryUnavailable, match="it knows no identities"),
        running(Settings(database=sqlite, host="0.0.0.0", port=0)),
    ):
        pass
    with running(Settings(database=sqlite, host="0.0.0.0", port=0, allow_anonymous=True)):
        pass
    made_key(sqlite)
    with running(Settings(database=sqlite, host="0.0.0.0", port=0)):
        pass


def test_changes_on_the_host_are_in_the_audit(database: str) -> None:
    """A key that is made by the database alone is in the audit, with the user of the operating system."""
    key = made_key(database, "ann@example.org", "mesh-admins")
    with served(Settings(database=database, port=0)) as client:
        entries = client.get("/api/v1/audit", headers=bearer(key.text)).json()["entries"]
    assert [(each["by"], each["action"], each["outcome"]) for each in entries] == [("host", "administer", "allowed")]


def test_a_rotation_keeps_the_length_of_a_key(sqlite: str) -> None:
    """The new key is valid for as long as the old one was made for."""
    old = made_key(sqlite)
    with KeysInDatabase(sqlite) as keys:
        new = keys.rotate(old.id, overlap_hours=24)
    assert abs((new.ends_at - new.created_at) - (old.ends_at - old.created_at)) < timedelta(seconds=1)


def test_refusals_are_delayed_only_in_a_flood() -> None:
    """A thousand refusals are answered at once, further ones at 100 a second, each within two seconds; ten a second return."""
    now = [0.0]
    pacing = Pacing(clock=lambda: now[0])
    assert [pacing.next_wait() for _ in range(1000)] == [0.0] * 1000
    assert pacing.crowded
    assert [round(pacing.next_wait(), 3) for _ in range(3)] == [0.01, 0.02, 0.03]
    assert max(pacing.next_wait() for _ in range(1000)) == 2.0
    now[0] += 1
    assert [pacing.next_wait() for _ in range(10)] == [0.0] * 10
    assert pacing.next_wait() > 0
