"""The logins that `meshport login` keeps for its user, one file for each registry, which the user alone may read.

    <config>/logins/              0700; `~/.config/meshport` on Linux, `XDG_CONFIG_HOME` counts
      <hash of the URL>.json      0600
      <hash of the URL>.lock      held while a token is renewed

A provider may take each refresh token once, and end the login of the one who shows it twice. So one process at a time renews,
and the others use what it got.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import platformdirs
from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError, field_serializer

from meshport.errors import FileError, RegistryUnavailable
from meshport.registry.openid import OpenIdClient, OpenIdProvider, OpenIdTokens

__all__ = ["KeptLogin", "KeptLogins", "OpenIdSession"]

_PRIVATE_FOLDER: Final = 0o700
_PRIVATE_FILE: Final = 0o600
_EARLY_S: Final = 30.0
"""Before its end a token is renewed: the registry's clock may be ahead."""
_RETRY_S: Final = 10.0


class KeptLogin(BaseModel):
    """A login of one registry: a token, a file that has one, or a login at an OpenID provider.

    Attributes:
        registry: its URL.
        token: which the registry takes.
        token_file: has the token; it is read for each request, as others may renew it.
        client: of the provider that gave the token.
        refresh: gets the next token.
        ends_at: when the token ends, in seconds since 1970; None where that is not known.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    registry: str
    token: SecretStr | None = None
    token_file: Path | None = None
    client: OpenIdClient | None = None
    refresh: SecretStr | None = None
    ends_at: float | None = None

    @field_serializer("token", "refresh", when_used="json")
    def _clear(self, secret: SecretStr | None) -> str | None:
        return None if secret is None else secret.get_secret_value()

    def with_tokens(self, tokens: OpenIdTokens) -> KeptLogin:
        """Return the same login with the next tokens."""
        return self.model_copy(update={"token": tokens.token, "refresh": tokens.refresh, "ends_at": tokens.ends_at})


class KeptLogins:
    """The logins in a folder.

    Args:
        folder: by default the user's.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or platformdirs.user_config_path("meshport") / "logins"

    def find(self, registry: str) -> KeptLogin | None:
        """Return the login of a registry, or None.

        Raises:
            FileError: its file cannot be read.
        """
        file = self._file(registry)
        try:
            return KeptLogin.model_validate_json(file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is none of this version"
            raise FileError(
                f"the login in {file} cannot be read: {why}", file=str(file), hint="remove it, and log in again"
            ) from None

    def keep(self, login: KeptLogin) -> None:
        """Keep a login in place of an earlier one, by one atomic rename.

        Raises:
            FileError: it cannot be written.
        """
        file = self._file(login.registry)
        draft = file.with_name(f"{file.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            self._folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
            with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE_FILE), "wb") as opened:
                opened.write(login.model_dump_json(exclude_none=True).encode())
            draft.replace(file)
        except OSError as error:
            draft.unlink(missing_ok=True)
            raise FileError(f"the login cannot be kept in {file}: {error.strerror}", file=str(file)) from error

    def forget(self, registry: str) -> None:
        """Remove the login of a registry, if there is one."""
        self._file(registry).unlink(missing_ok=True)

    @contextmanager
    def alone(self, registry: str) -> Iterator[None]:
        """Hold the lock of a registry's login; the kernel releases it when this process ends."""
        self._folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
        with self._file(registry).with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _file(self, registry: str) -> Path:
        return self._folder / f"{hashlib.sha256(registry.encode()).hexdigest()[:32]}.json"


class OpenIdSession:
    """The tokens of a kept login at an OpenID provider, renewed as they end; thread-safe.

    Args:
        logins: which has the login.
        login: as it was read.
    """

    def __init__(self, logins: KeptLogins, login: KeptLogin) -> None:
        self._logins = logins
        self._login = login
        self._lock = threading.Lock()
        self._retry_at = 0.0

    def current(self) -> SecretStr:
        """Return a token that has not ended; while the provider does not answer, the last one.

        Raises:
            LoginRefused: the provider ended the login.
        """
        with self._lock:
            now = time.time()
            if now > (self._login.ends_at or now) - _EARLY_S and now >= self._retry_at:
                try:
                    self._renew(self._login.token)
                except RegistryUnavailable:
                    self._retry_at = now + _RETRY_S
                    if now > (self._login.ends_at or now):
                        raise
            return self._login.token or SecretStr("")

    def renewed(self, refused: SecretStr) -> SecretStr | None:
        """Return another token than one that the registry refused, or None where there is none.

        Raises:
            LoginRefused: the provider ended the login.
            RegistryUnavailable: it does not answer.
        """
        with self._lock:
            self._renew(refused)
            return None if self._login.token == refused else self._login.token

    def _renew(self, last: SecretStr | None) -> None:
        registry = self._login.registry
        with self._logins.alone(registry):
            kept = self._logins.find(registry) or self._login
            self._login = kept
            if kept.token != last or kept.client is None or kept.refresh is None:
                return  # another process renewed it, or nothing can be renewed
            with OpenIdProvider(kept.client) as provider:
                self._login = kept.with_tokens(provider.refresh(kept.refresh))
            self._logins.keep(self._login)
