"""The image of `deploy/Dockerfile`, built and run by a real Docker engine: its size, what is in it, and how its processes behave.

Containers run as an operator would lock them down: the file system is read-only but for /tmp and the volume, without any
capability. They use the machine's network, on which a Kafka runs.
"""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import platformdirs

from meshport.local.embedded import EmbeddedKafka
from tests.campaigns.outcome import Outcome, say
from tests.deploy.engine import (
    IMAGE,
    ROOT,
    DockerEngine,
    EngineError,
    base_image,
    build_image,
    missing,
    open_engine,
    wait_until,
)

MOST_BYTES: Final = 250_000_000
"""The size of the image's file system, uncompressed, as `docker image inspect` has it."""
GRACE_S: Final = 10
"""Seconds between SIGTERM and SIGKILL: what `docker stop` gives by default."""

_PATIENCE_S: Final = 600.0
_SBOM: Final = "/usr/share/meshport/sbom.cdx.json"
_LOCKED_DOWN: Final = (
    "--network=host",
    "--read-only",
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
)
_STRANGER: Final = 12345
_STEP: Final = re.compile(r"^#(\d+) (\[.*|DONE .*|exporting .*)$")
_DISTRIBUTIONS: Final = (
    "import json, importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"
)
# The tests' own distributions come last on the path, so that what the image has is what is tested.
_PYTEST: Final = (
    "import sys; sys.path.append('/tools'); import pygments.lexers as l; l.__path__.append('/tools/pygments/lexers');"
    " import pytest; sys.exit(pytest.main(sys.argv[1:]))"
)


class NotRightError(Exception):
    """What is not as it should be."""


@dataclass(frozen=True)
class Running:
    """What containers of the checks work with.

    Attributes:
        engine: that runs them.
        folder: for files of the host.
        kafka: the cluster's bootstrap servers.
        registry: URL of a registry, in a container as well.
    """

    engine: DockerEngine
    folder: Path
    kafka: str
    registry: str

    def once(
        self, *arguments: str, mounts: tuple[str, ...] = (), entry: str | None = None, alone: bool = False
    ) -> tuple[int, str]:
        """Run a container to its end, one that knows registry and Kafka or is alone; its exit code, and what it printed."""
        options = [f"--volume={each}" for each in mounts] + ([f"--entrypoint={entry}"] if entry else [])
        names = () if alone else self._names()
        done = self.engine.ended("run", "--rm", *_LOCKED_DOWN, *options, *names, IMAGE, *arguments)
        return done.returncode, done.stdout + done.stderr

    def python(self, program: str) -> str:
        """Run a program of Python in a container; what it printed."""
        code, said = self.once("-c", program, entry="python")
        _expect(code == 0, said)
        return said

    @contextmanager
    def started(self, name: str, *arguments: str, mounts: tuple[str, ...] = ()) -> Iterator[str]:
        """A container that runs, until the end of the block."""
        volumes = [f"--volume={each}" for each in mounts]
        given = (f"--name={name}", *_LOCKED_DOWN, *volumes, *self._names())
        self.engine.docker("run", "--detach", *given, IMAGE, *arguments)
        try:
            yield name
        finally:
            self.engine.docker("rm", "--force", name)

    def _names(self) -> tuple[str, str]:
        return f"--env=MESHPORT_REGISTRY={self.registry}", f"--env=MESHPORT_KAFKA={self.kafka}"

    def state(self, name: str) -> dict[str, Any]:
        """The state of a container."""
        found: dict[str, Any] = json.loads(self.engine.docker("inspect", "--format={{json .State}}", name))
        return found

    def await_health(self, name: str) -> str:
        """Wait until the engine calls a container healthy."""

        def healthy() -> bool:
            state = self.state(name)
            _expect(state["Running"], f"{name} ended with {state['ExitCode']}:\n{self.logs(name)}")
            return bool(state["Health"]["Status"] == "healthy")

        wait_until(healthy, lambda: f"{name} is healthy: {self.state(name)['Health']}\n{self.logs(name)}")
        return "healthy"

    def logs(self, name: str) -> str:
        """What a container printed."""
        done = self.engine.ended("logs", "--tail=30", name)
        return done.stdout + done.stderr

    def stop(self, name: str) -> str:
        """Stop a container that is its own first process: by SIGTERM, with 0, and without a zombie before."""
        first = self.engine.docker("exec", name, "python", "-c", "print(open('/proc/1/cmdline').read())")
        _expect("/meshport\0" in first, f"the first process is {first!r}")
        _, *rows = self.engine.docker("top", name, "-eo", "pid,stat,args").splitlines()
        zombies = [each for each in rows if each.split()[1].startswith("Z")]
        _expect(not zombies, f"zombies: {zombies}")
        begun = time.monotonic()
        self.engine.docker("stop", f"--time={GRACE_S}", name)
        took = time.monotonic() - begun
        state = self.state(name)
        _expect(state["ExitCode"] == 0, f"{name} ended with {state['ExitCode']}:\n{self.logs(name)}")
        return f"first process, SIGTERM: 0 after {took:.1f} s, {len(rows)} process, no zombie"


def run(kept: Path | None) -> list[Outcome]:
    """Build the image and check it; an outcome for each check.

    Args:
        kept: a file that the base image is kept in.
    """
    if why := missing():
        return [Outcome("image", why, None, 0.0, right=False)]
    with open_engine() as engine, TemporaryDirectory(prefix="image-") as name:
        outcomes = [
            _checked(
                "image, base", lambda: f"{_megabytes(_size(engine, base_image(engine, kept)))} of Debian and Python"
            ),
            _checked("image, build", lambda: _build(engine)),
        ]
        if not all(each.right for each in outcomes):
            return outcomes
        outcomes.append(_checked("image, size", lambda: _sizes(engine)))
        with EmbeddedKafka(cache_dir=platformdirs.user_cache_path("meshport"), start_timeout=_PATIENCE_S) as cluster:
            port = _free_port()
            site = Running(engine, Path(name), cluster.bootstrap_servers, f"http://127.0.0.1:{port}")
            for what, check in CHECKS.items():
                outcomes.append(_checked(f"image, {what}", lambda check=check: check(site)))  # type: ignore[misc]
    return outcomes


def _checked(what: str, check: Callable[[], str]) -> Outcome:
    begun = time.monotonic()
    try:
        done, right = check(), True
    except (NotRightError, EngineError) as error:
        say(f"{what}: {error}")
        done, right = str(error).splitlines()[0][:100], False
    took = time.monotonic() - begun
    say(f"{what}: {done} ({took:.0f} s)")
    return Outcome(what, done, None, took, right=right)


def _build(engine: DockerEngine) -> str:
    log = build_image(engine)
    steps: dict[str, str] = {}
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        if found := _STEP.match(line):
            number, text = found.groups()
            if text.startswith("DONE"):
                say(f"  {text.removeprefix('DONE ').rjust(7)}  {steps.get(number, '')[:150]}")
            else:
                steps[number] = text
    layers = json.loads(engine.docker("image", "inspect", "--format={{json .RootFS.Layers}}", IMAGE))
    return f"{len(steps)} steps, {len(layers)} layers"


def _sizes(engine: DockerEngine) -> str:
    size, packed = _size(engine, IMAGE), _packed(engine)
    for line in engine.docker("history", "--no-trunc", "--format={{.Size}}\t{{.CreatedBy}}", IMAGE).splitlines():
        say(f"  {line[:120]}")
    _expect(size < MOST_BYTES, f"{_megabytes(size)} is more than {_megabytes(MOST_BYTES)}")
    return f"{_megabytes(size)}, compressed {_megabytes(packed)}"


def _size(engine: DockerEngine, tag: str) -> int:
    return int(engine.docker("image", "inspect", "--format={{.Size}}", tag))


def _packed(engine: DockerEngine) -> int:
    """The bytes of `docker save IMAGE | gzip`."""
    save = subprocess.Popen([engine.client, "save", IMAGE], env=engine.environment, stdout=subprocess.PIPE)
    done = subprocess.run("gzip --stdout | wc --bytes", shell=True, stdin=save.stdout, capture_output=True, check=True)
    _expect(save.wait() == 0, "the image cannot be saved")
    return int(done.stdout)


def _user(site: Running) -> str:
    """Everything runs as a user who owns nothing but the volume and the folder of the project."""
    user = site.engine.docker("image", "inspect", "--format={{.Config.User}}", IMAGE)
    ids = site.python("import os; print(os.getuid(), os.getgid(), len(os.getgroups()))").split()
    _expect(user == "10001" and ids[0] == "10001", f"it runs as {ids}, the image says {user!r}")
    program = (
        "import os, stat; print(*[os.path.join(d, f) for d, _, fs in os.walk('/') if d.split('/')[1] not in ('proc', 'sys')"
        " for f in fs if os.lstat(os.path.join(d, f)).st_mode & 0o6000])"
    )
    privileged = site.python(program).split()
    _expect(not privileged, f"with another user's rights: {privileged}")
    return f"user {user}, no file with setuid"


def _small(site: Running) -> str:
    """There is no pip, no shell and no package manager, and every library of Arrow and numpy that is left can be loaded."""
    for each in ("pip", "pip3", "sh", "bash", "apt-get", "dpkg", "perl"):
        _expect(site.once(entry=each)[0] == 127, f"the image has {each}")
    _expect(site.once("-m", "pip", entry="python")[0] == 1, "the image has pip")
    return "no pip, no shell, no apt, no perl"


def _sbom(site: Running) -> str:
    """The CycloneDX document names every distribution that is installed, with its version, and no other."""
    sbom = json.loads(site.python(f"print(open('{_SBOM}').read())"))
    installed: dict[str, str] = json.loads(site.python(_DISTRIBUTIONS))
    noted = {_plain(each["name"]): each["version"] for each in sbom["components"]}
    differ = noted.items() ^ {_plain(name): version for name, version in installed.items()}.items()
    _expect(not differ, f"in only one of SBOM and image: {sorted(differ)}")
    packages = site.python("import os; print(len(os.listdir('/var/lib/dpkg/status.d')))").strip()
    return f"CycloneDX {sbom['specVersion']}: {len(noted)} distributions; {packages} packages of Debian"


def _columns(site: Running) -> str:
    """The suite of the columns passes in the image, on its own pyarrow, numpy and pyruhvro."""
    tools = Path(platformdirs.__file__).parents[1]
    mounts = (f"{ROOT / 'tests'}:/check/tests:ro", f"{ROOT / 'pyproject.toml'}:/check/pyproject.toml:ro")
    # What starts Python again would not find the tests' own distributions.
    without = "--ignore=/check/tests/columnar/test_campaigns.py"
    options = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir=/check", without, "/check/tests/columnar")
    mounted = (*mounts, f"{tools}:/tools:ro")
    program = f"import os; os.chdir('/check'); os.environ['HYPOTHESIS_STORAGE_DIRECTORY'] = '/tmp/h'; {_PYTEST}"
    code, said = site.once("-c", program, *options, mounts=mounted, entry="python")
    _expect(code == 0, said[-3000:])
    loaded = site.python(
        "import meshport.columnar.decoder, pyarrow.compute, pyruhvro, numpy;"
        "from meshport.columnar.native import unavailable; assert unavailable() is None; print(pyarrow.__version__)"
    ).strip()
    return f"pyarrow {loaded}; tests/columnar: {said.strip().splitlines()[-1]}"


def _gate(site: Running) -> str:
    """Git compares a project of another user that is mounted read-only, and finds a field that was removed."""
    project = site.folder / "project"
    subprocess.run(["git", "clone", "--quiet", ROOT, project], check=True)
    own = (f"{project}:/mesh:ro",)
    _own(project)
    code, said = site.once("gate", "check", "--against", "HEAD", mounts=own, alone=True)
    _expect(code == 0, f"without a change it ended with {code}: {said}")
    path = project / "schemas" / "player" / "plays.events.avsc"
    contract = json.loads(path.read_text(encoding="utf-8"))
    contract["fields"] = [each for each in contract["fields"] if each["name"] != "offline"]
    path.write_text(json.dumps(contract, indent=2), encoding="utf-8")
    code, said = site.once("gate", "check", "--against", "HEAD", mounts=own, alone=True)
    _expect(code == 1 and "offline" in said, f"a removed field ended with {code}: {said}")
    shutil.rmtree(project)
    return "0 without a change, 1 with a removed field"


def _processes(site: Running) -> str:
    """A registry, sources, a processor and a relay, each healthy and stopped as its container's first process."""
    port, metrics = site.registry.rpartition(":")[2], [_free_port(), _free_port()]
    mesh = (f"{ROOT}:/mesh:ro",)
    database = "--database=sqlite:////var/lib/meshport/shop.db"
    shop = ("shop:/var/lib/meshport",)
    serve = ("registry", "serve", "--allow-anonymous", f"--port={port}", f"--kafka={site.kafka}")
    with site.started("registry", *serve, "--database=sqlite:////var/lib/meshport/registry.db"):
        site.await_health("registry")
        code, said = site.once("apply", "--kafka", site.kafka, mounts=mesh)
        _expect(code == 0, said)
        code, said = site.once("outbox", "create", database, mounts=shop)
        _expect(code == 0, said)
        process = ("run", "listening/sessions", f"--metrics=127.0.0.1:{metrics[0]}")
        relay = ("relay", database, f"--metrics=127.0.0.1:{metrics[1]}")
        with (
            site.started("sources", "run", "player/plays", "--speed=3600", mounts=mesh),
            site.started("processor", *process, mounts=mesh),
            site.started("relay", *relay, mounts=shop),
        ):
            site.await_health("processor")
            site.await_health("relay")
            wait_until(lambda: _written(metrics[0]) > 0, lambda: f"a session is written:\n{site.logs('processor')}")
            written = _written(metrics[0])
            for name in ("sources", "processor", "relay"):
                say(f"  {name}: {site.stop(name)}")
        say(f"  registry: {site.stop('registry')}")
    return f"registry, sources, processor, relay: healthy, {written:.0f} records written, SIGTERM: 0, no zombie"


CHECKS: Final[dict[str, Callable[[Running], str]]] = {
    "user": _user,
    "small": _small,
    "SBOM": _sbom,
    "git": _gate,
    "processes": _processes,
    "columns": _columns,
}


def _written(port: int) -> float:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    return sum(map(float, re.findall(r"^meshport_processor_written_records_total\{[^}]*\} (\S+)$", text, re.MULTILINE)))


def _own(folder: Path) -> None:
    """Give a folder to a user whom neither host nor image knows."""
    for each in (folder, *folder.rglob("*")):
        shutil.chown(each, _STRANGER, _STRANGER)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        found: int = free.getsockname()[1]
        return found


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


def _expect(right: object, otherwise: str) -> None:
    if not right:
        raise NotRightError(otherwise)
