"""Running commands with secrets, and looking for these in what they write."""

from __future__ import annotations

import gc
import logging
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from meshport.product.lines import utc_today
from tests.cli.canaries import Canaries
from tests.cli.running import Run, process
from tests.cli.shop import order, write_shop
from tests.postgres_session import postgres as postgres  # noqa: PLC0414 - pytest finds a fixture by its name here
from tests.waiting import PATIENCE_S, wait_for

NOWHERE: Final = "127.0.0.1:1"
ORDERS: Final = "shop/orders"
LAST_DAY: Final = str(utc_today() + timedelta(days=90))


def properties(canaries: Canaries, **more: str) -> str:
    """Return a `client.properties` with a secret of each kind, and the client's log at its finest."""
    lines = {
        "bootstrap.servers": NOWHERE,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required "
        f'username="canary" password="{canaries.new()}";',
        "sasl.oauthbearer.client.secret": canaries.new(),
        "ssl.key.password": canaries.new(),
        "basic.auth.user.info": f"u:{canaries.new()}",
        "debug": "all",
    }
    return "".join(f"{name}={value}\n" for name, value in (lines | more).items())


@dataclass
class Looked:
    """Runs commands, and looks for secrets in what they write."""

    cli: Run
    canaries: Canaries
    caplog: pytest.LogCaptureFixture

    def run(self, name: str, *more: str, **given: Any) -> int:
        """Run a command and return its exit code."""
        self.caplog.clear()
        ended = self.cli(*name.split(), *more, **given)
        for place, text in (("stdout", ended.out), ("stderr", ended.err), ("log", self.caplog.text)):
            assert not self.canaries.found_in(text), (name, place)
        return ended.code

    def end(self) -> None:
        """Have the clients of commands that failed collected, which the tracebacks of their errors keep.

        They write their log to the descriptor of stderr, from threads of their own: after the test it is the terminal's.
        """
        self.caplog.clear()  # a record may have an error
        gc.collect()

    def interrupted(self, name: str, *more: str, cwd: Path, ready: Callable[[], object], **given: str) -> int:
        """Run a command as a process until it is ready, interrupt it, and return its exit code."""
        # A command that is not ready in time is killed before its readers are waited for, who read to its end.
        with ThreadPoolExecutor() as readers, process(name, *more, cwd=cwd, **given) as command:
            assert command.stdout is not None
            assert command.stderr is not None
            written = [readers.submit(each.read) for each in (command.stdout, command.stderr)]
            wait_for(lambda: command.poll() is not None or ready(), f"{name} to be ready")
            command.send_signal(signal.SIGINT)
            command.wait(PATIENCE_S)
        assert not any(self.canaries.found_in(each.result()) for each in written), name
        return command.returncode


@pytest.fixture
def canaries() -> Canaries:
    """No secret yet."""
    return Canaries()


@pytest.fixture
def looked(cli: Run, canaries: Canaries, caplog: pytest.LogCaptureFixture) -> Looked:
    """Runs commands with all logs at their finest."""
    caplog.set_level(logging.DEBUG)
    return Looked(cli, canaries, caplog)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one product, and a file of its events."""
    root = tmp_path / "shop"
    root.mkdir()
    write_shop(root, order({"name": "customer", "type": "string"}, {"name": "cents", "type": "int"}))
    (root / "orders.jsonl").write_text('{"customer": "a", "cents": 5}\n{"customer": "b", "cents": 7}\n')
    monkeypatch.chdir(root)
    return root
