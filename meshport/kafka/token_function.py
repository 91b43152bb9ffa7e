"""Functions that return the tokens of SASL OAUTHBEARER, as managed clouds have them, by their name `module:function`."""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from meshport.errors import KafkaConfigError

__all__ = ["TokenFunction", "token_function"]

TokenFunction = Callable[[str], tuple[Any, ...]]
"""Takes the value of `sasl.oauthbearer.config` ("" where there is none). Returns the token, the time at which it ends in
seconds since 1970 and, where they are needed, the principal and a mapping of extensions, as confluent_kafka's `oauth_cb`."""

_log: Final = logging.getLogger(__name__)


def token_function(name: str) -> TokenFunction:
    """Return the function that a name leads to; its module may be in the working directory.

    A call that fails, or returns something else than a token, is logged without what it returned, and the client asks again.

    Raises:
        KafkaConfigError: there is none.
    """
    module, _, function = name.partition(":")
    if not module or not function:
        raise KafkaConfigError(f"{name!r} is no function", hint="module:function")
    try:
        with _working_directory():
            found: Any = importlib.import_module(module)
        for part in function.split("."):
            found = getattr(found, part)
    except Exception as error:  # what a module does when it is imported is its own
        raise KafkaConfigError(f"{name} cannot be loaded: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise KafkaConfigError(f"{name} is no function but of type {type(found).__name__}")

    def token(config: str) -> tuple[Any, ...]:
        try:
            answer = found(config)
        except Exception as error:
            _log.error("%s gave no token: %s: %s", name, type(error).__name__, error)
            raise
        if not isinstance(answer, tuple) or not _is_token(answer):
            _log.error("%s gave no token: it returned no (token, end in seconds since 1970)", name)
            raise TypeError(f"{name} returned no token")
        return answer

    return token


def _is_token(answer: tuple[Any, ...]) -> bool:
    return len(answer) > 1 and isinstance(answer[0], str) and isinstance(answer[1], int | float)


@contextmanager
def _working_directory() -> Iterator[None]:
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)
