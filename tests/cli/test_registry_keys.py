"""`meshport registry key`: keys by the database alone and through a registry; and what `registry serve` asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshport.cli.output import FINDINGS, NO_ANSWER, USAGE
from meshport.cli.registry_database import database_secret
from meshport_registry import Settings, running
from meshport_registry.settings import database_url
from tests.cli.running import Run
from tests.plain_http import plain_http


@pytest.fixture
def database(tmp_path: Path) -> str:
    """The URL of a database."""
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def registry_url(database: str) -> Iterator[str]:
    """A registry without identities, to which every caller is local."""
    with running(Settings(database=database, port=0)) as url:
        yield url


def test_the_first_key_is_made_by_the_database_and_opens_the_registry(cli: Run, database: str) -> None:
    """`--database` needs no registry. The key alone is on stdout, and the registry that starts then takes it only."""
    made = cli("registry", "key", "create", "ann@example.org", "--group", "mesh-admins", "--database", database)
    assert made.code == 0
    key = made.out.removesuffix("\n")
    assert key.startswith("mpk_")
    assert "It is not shown again" in made.err
    assert "from its next start on" in made.err
    assert "next start" not in cli("registry", "key", "create", "bo@example.org", "--database", database).err
    assert key.split("_", 2)[2] not in made.err  # the secret may have underscores as well
    with running(Settings(database=database, port=0)) as url, plain_http(url) as http:
        assert http.get("/subjects").status_code == 401
        assert http.get("/subjects", headers={"authorization": f"Bearer {key}"}).status_code == 200


@pytest.mark.parametrize("through", ["database", "registry"])
def test_keys_are_rotated_and_revoked(cli: Run, database: str, registry_url: str, through: str) -> None:
    """By the database and through the registry alike: a rotated key ends after its overlap, a revoked one at once."""
    where = ["--database", database] if through == "database" else ["--registry", registry_url]

    def key(*arguments: str) -> dict[str, object]:
        ended = cli("registry", "key", *arguments, *where, "--json")
        assert ended.code == 0, ended.err
        return dict(ended.lines[0])

    old = key("create", "billing/invoices", "--group", "billing", "--group", "finance", "--until", "2099-12-31")
    assert (old["groups"], old["ends_at"], old["state"]) == (["billing", "finance"], "2100-01-01T00:00:00Z", "valid")
    assert old["key"] == f"mpk_{old['id']}_{old['secret']}"
    new = key("rotate", str(old["id"]), "--overlap-hours", "0")
    assert (new["name"], new["groups"]) == (old["name"], old["groups"])
    assert key("revoke", str(new["id"]))["state"] == "revoked"
    listed = cli("registry", "key", "list", *where, "--json").lines
    assert {each["id"]: each["state"] for each in listed} == {old["id"]: "ended", new["id"]: "revoked"}
    assert not any("secret" in each for each in listed)
    rows = cli("registry", "key", "list", *where).out.splitlines()
    assert rows[0].split() == ["key", "caller", "groups", "ends", "state"]
    assert len(rows) == 3


def test_mistakes_with_keys_are_named(cli: Run, database: str, registry_url: str) -> None:
    """A reserved name, a day that is past, an unknown key, no day and no database each get their own answer."""
    where = ("--registry", registry_url)
    for arguments, code, told in (
        (("create", "anonymous", *where), FINDINGS, "callers that show nothing"),
        (("create", "x", "--group", "local", "--database", database), FINDINGS, "without identities"),
        (("create", "x", "--until", "2020-01-01", *where), FINDINGS, "is past"),
        (("create", "x", "--until", "soon", *where), USAGE, "soon"),
        (("revoke", "abc", *where), FINDINGS, "there is no key"),
        (("rotate", "abc", "--database", database), FINDINGS, "there is no key"),
        (("create", "x", "--database", "mysql://x"), USAGE, "no database of this registry"),
        (("list", "--database", "sqlite:////nowhere/at/all.db"), NO_ANSWER, "cannot be opened"),
    ):
        ended = cli("registry", "key", *arguments)
        assert (ended.code, told in ended.err) == (code, True), ended.err


def test_halves_of_an_identity_are_refused(cli: Run, database: str, tmp_path: Path) -> None:
    """`registry serve` refuses an option without its other half, an unsafe issuer, and other machines without identities."""
    pem = str(tmp_path / "x.pem")
    client = ["--oidc-issuer", "https://x", "--oidc-audience", "x", "--oidc-client-id", "x"]
    for options, code, told in (
        (["--tls-cert", pem], USAGE, "--tls-cert needs --tls-key"),
        (["--tls-key", pem], USAGE, "--tls-key needs --tls-cert"),
        (["--client-ca", pem], USAGE, "--client-ca needs --tls-cert"),
        (["--oidc-issuer", "https://x"], USAGE, "--oidc-issuer needs --oidc-audience"),
        (["--oidc-audience", "x"], USAGE, "--oidc-audience needs --oidc-issuer"),
        (["--oidc-issuer", "http://x.org", "--oidc-audience", "x"], USAGE, "is no URL of HTTPS"),
        (["--oidc-client-id", "x"], USAGE, "--oidc-client-id needs --oidc-issuer"),
        (["--oidc-client-secret", "${env:NONE}"], USAGE, "--oidc-client-secret needs --oidc-client-id"),
        ([*client, "--oidc-client-secret", "${file:none}"], USAGE, "which cannot be read"),
        ([*client, "--oidc-scope", "profile"], USAGE, "value for --oidc-scope: the scope"),
        (client, USAGE, "value for --public-url: a login at the provider needs the public URL"),
        ([*client, "--public-url", "http://mesh.example.com"], USAGE, "logins need HTTPS"),
        ([*client, "--public-url", "https://mesh.example.com/below"], USAGE, "no URL of a host alone"),
        (["--tls-cert", pem, "--tls-key", pem], NO_ANSWER, "cannot be used"),
        (["--host", "0.0.0.0"], NO_ANSWER, "it knows no identities"),
    ):
        ended = cli("registry", "serve", "--port", "0", "--database", database, *options)
        assert (ended.code, told in " ".join(ended.err.replace("│", " ").split())) == (code, True), ended.err


def test_a_database_is_named_by_references(cli: Run, tmp_path: Path) -> None:
    """`${file:PATH}` and `${env:NAME}` are the URL or a part of it; the variable names it where no registry is named."""
    (tmp_path / "url").write_text(f"sqlite:///{tmp_path / 'a b.db'}\n")
    assert cli("registry", "key", "create", "ann@example.org", "--database", "${file:url}").code == 0
    listed = ("registry", "key", "list", "--json")
    assert len(cli(*listed, MESHPORT_REGISTRY_DATABASE="${env:URL}", URL=f"sqlite:///{tmp_path / 'a b.db'}").lines) == 1
    (tmp_path / "password").write_text("p@ss:w/rd?")
    url = database_url(database_secret("postgresql://u:${file:password}@h/d"))
    assert (url.password, url.host) == ("p@ss:w/rd?", "h"), "a part is percent-encoded"
    named = {"MESHPORT_REGISTRY_DATABASE": "${file:url}", "MESHPORT_REGISTRY": "http://127.0.0.1:1"}
    assert cli(*listed, **named).code == NO_ANSWER, "the registry that is named is asked"
    for given, told in (("${file:none}", "leads to"), ("${env:NONE}", "is not set"), ("${vault:a}", "${file:PATH}")):
        ended = cli(*listed, "--database", given, COLUMNS="200")
        assert (ended.code, told in ended.err) == (USAGE, True), ended.err


@pytest.mark.parametrize(
    "database",
    ["hunter2", "postgresql://u:hunter2", "postgresql://u:hunter2/x@h:y/d", "postgresql://h:x/d?password=hunter2"],
)
def test_a_database_that_is_none_is_not_shown(cli: Run, database: str) -> None:
    """What a reference leads to may be the password alone, or a URL with a mistake: the error has no part of it."""
    for command in (("registry", "serve"), ("registry", "key", "list")):
        ended = cli(*command, MESHPORT_REGISTRY_DATABASE="${env:WHOLE}", WHOLE=database)
        assert (ended.code, "hunter2" in ended.err) == (USAGE, False), ended.err


def test_a_password_on_the_command_line_is_warned_of(cli: Run) -> None:
    """All users of the machine see it; a reference to it is none."""
    for given, warned in (
        ("u:hunter2@127.0.0.1:1/d", True),
        ("u:${env:PW}@127.0.0.1:1/d", False),
        ("u@127.0.0.1:1/d", False),
    ):
        ended = cli("registry", "key", "list", "--database", f"postgresql://{given}", PW="hunter2")
        assert (ended.code, "all users of this machine" in ended.err, "hunter2" in ended.err) == (
            NO_ANSWER,
            warned,
            False,
        )
