"""A Docker engine of the tests' own, and the images that are built in it.

The daemon listens on a socket in a temporary folder, which also holds its images and containers. Nothing of it is left at the
end. It changes no network of the machine: there is no bridge and no rule of a firewall, so builds and containers use the host's
network. It needs root, Linux, and Debian's packages `docker.io` and `debootstrap`.

Images of a hub are not needed: `base_image` makes a Debian with Python by debootstrap, from the package archive that the
machine itself installs from. It has what the Dockerfile asks of its base: `python` on the path, with venv, and apt.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Final

from meshport.local.guardian import GuardedProcess, guard
from tests.waiting import PATIENCE_S

__all__ = [
    "BASE",
    "DockerEngine",
    "EngineError",
    "IMAGE",
    "base_image",
    "build_image",
    "missing",
    "open_engine",
    "wait_until",
]

ROOT: Final = Path(__file__).parents[2]
RELEASE: Final = "bookworm"
BASE: Final = f"meshport-base:{RELEASE}"
"""The tag of the base image."""
IMAGE: Final = "meshport"
"""The tag of the built image: what compose.yml names."""

_PROGRAMS: Final = ("dockerd", "containerd", "debootstrap")
# debootstrap does not resolve virtual packages: `python3-distutils` is what `python3.11-venv` needs under another name.
_PACKAGES: Final = ("python3.11", "python3.11-venv", "python3-distutils", "libpython3.11-dev", "ca-certificates")
_GRACE_S: Final = 60.0
_SOURCES: Final = Path("/etc/apt/sources.list.d/debian.sources")
# What pip reads of the machine, and the certificates that its index is verified with. Each is a secret of the build: it is
# mounted while a step runs and is in no layer.
_SECRETS: Final = {"pip": Path("/etc/pip.conf"), "certificates": Path("/etc/ssl/certs/ca-certificates.crt")}


class EngineError(Exception):
    """A command of the engine failed; the message has what it printed."""


@dataclass(frozen=True)
class DockerEngine:
    """A running engine, and the client that talks to it.

    Attributes:
        folder: its temporary folder.
        client: path of the `docker` program.
        daemon: the process.
    """

    folder: Path
    client: str
    daemon: GuardedProcess = field(repr=False)

    @property
    def host(self) -> str:
        """The address of its socket, as `DOCKER_HOST` takes it."""
        return f"unix://{self.folder / 'docker.sock'}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a process that uses this engine and no other, without the logins of the user."""
        own = {"DOCKER_HOST": self.host, "DOCKER_BUILDKIT": "1", "DOCKER_CONFIG": str(self.folder / "config")}
        return {**os.environ, **own, "BUILDKIT_PROGRESS": "plain"}

    def docker(self, *arguments: str | Path, given: int | None = None, log: Path | None = None) -> str:
        """Run a command of the client to its end.

        Args:
            arguments: of `docker`.
            given: a file descriptor for its stdin.
            log: a file that its stdout and stderr are appended to; else stdout is returned.

        Returns:
            Its stdout, without the last line end; nothing where a log is given.

        Raises:
            EngineError: it failed.
        """
        words = [*map(str, arguments)]
        if log is not None:
            with log.open("ab") as out:
                code = self._run(words, given, out).returncode
            if code:
                raise EngineError(f"`docker {words[0]}` ended with {code}:\n{_tail(log)}")
            return ""
        done = self._run(words, given, subprocess.PIPE)
        if done.returncode:
            raise EngineError(f"`docker {' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout.removesuffix("\n")

    def ended(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of the client to its end, whatever its exit code."""
        return self._run([*map(str, arguments)], None, subprocess.PIPE)

    def _run(self, words: Sequence[str], given: int | None, out: int | IO[bytes]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.client, *words],
            env=self.environment,
            stdin=subprocess.DEVNULL if given is None else given,
            stdout=out,
            stderr=out,
            text=True,
            check=False,
        )

    def begin(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command of the client; its stdout and stderr are one pipe."""
        return subprocess.Popen(
            [self.client, *map(str, arguments)],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


def wait_until(condition: Callable[[], object], what: Callable[[], str]) -> None:
    """Wait until a condition holds.

    Args:
        condition: asked again and again.
        what: is awaited, for the error.

    Raises:
        EngineError: it did not hold within `PATIENCE_S`.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            raise EngineError(f"not within {PATIENCE_S:g} s: {what()}")
        time.sleep(0.2)


def missing() -> str | None:
    """Return why there can be no engine here, or None."""
    if os.name != "posix" or os.getuid() != 0:
        return "a Docker engine needs root"
    absent = [each for each in _PROGRAMS if shutil.which(each) is None]
    if absent:
        return f"there is no {' and no '.join(absent)}: install Debian's docker.io and debootstrap"
    return (
        None if _client() else "no docker client here builds with BuildKit: install Debian's docker.io or docker-buildx"
    )


@contextmanager
def open_engine() -> Iterator[DockerEngine]:
    """Start an engine; at the end its containers, images, processes and folder are removed.

    Raises:
        EngineError: it could not be started.
    """
    client, why = _client(), missing()
    if why or client is None:
        raise EngineError(why)
    # The path of a socket has at most 107 bytes.
    with TemporaryDirectory(prefix="engine-", dir="/tmp", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        log = folder / "dockerd.log"
        daemon = guard(_daemon(folder), output=log, grace=_GRACE_S)
        engine = DockerEngine(folder, client, daemon)
        try:
            wait_until(lambda: _answers(engine) or not daemon.running, lambda: f"dockerd answers:\n{_tail(log)}")
            if not daemon.running:
                raise EngineError(f"dockerd ended with {daemon.returncode}:\n{_tail(log)}")
            yield engine
        finally:
            if daemon.running:
                _remove_containers(engine)
            daemon.stop()
            _unmount(folder)


def base_image(engine: DockerEngine, kept: Path | None = None) -> str:
    """Make the base image, or load it from a file.

    Args:
        engine: that it is for.
        kept: a tar file of its file system. It is written where it is not there yet; by default nothing is kept.

    Returns:
        Its tag.

    Raises:
        EngineError: debootstrap failed; the message has the end of its log.
    """
    archive = kept or engine.folder / "base.tar"
    if not archive.exists():
        _bootstrap(engine.folder / "base", archive, engine.folder / "debootstrap.log")
    with archive.open("rb") as content:
        engine.docker("import", "-", BASE, given=content.fileno())
    if kept is None:
        archive.unlink()
    return BASE


def build_image(
    engine: DockerEngine, base: str = BASE, tag: str = IMAGE, *, arguments: Mapping[str, str] | None = None
) -> Path:
    """Build the image of `deploy/Dockerfile` from this repository.

    Args:
        engine: that builds it.
        base: tag of the base image.
        tag: of the new image.
        arguments: more build arguments.

    Returns:
        The log of the build.

    Raises:
        EngineError: a step failed; the message has the end of the log.
    """
    log = engine.folder / f"build-{re.sub('[^a-z0-9]', '-', tag)}.log"
    given = {"BASE": base, **(arguments or {})}
    engine.docker(
        "build",
        "--network=host",
        *(f"--build-arg={name}={value}" for name, value in given.items()),
        *(f"--secret=id={name},src={path}" for name, path in _SECRETS.items() if path.exists()),
        f"--file={ROOT / 'deploy' / 'Dockerfile'}",
        f"--tag={tag}",
        ROOT,
        log=log,
    )
    return log


def _daemon(folder: Path) -> list[str]:
    return [
        "dockerd",
        f"--host=unix://{folder / 'docker.sock'}",
        f"--data-root={folder / 'data'}",
        f"--exec-root={folder / 'exec'}",
        f"--pidfile={folder / 'docker.pid'}",
        f"--config-file={_settings(folder)}",
        "--storage-driver=overlay2",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
    ]


def _settings(folder: Path) -> Path:
    """Write settings of its own, so that those of the machine's engine do not count."""
    path = folder / "daemon.json"
    path.write_text("{}\n")
    return path


def _client() -> str | None:
    """Return a client that builds with BuildKit: older ones have it built in, newer ones need the plugin buildx."""
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        path = shutil.which("docker", path=folder)
        if path is None:
            continue
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
        version = re.search(r"version (\d+)\.", said)
        if version and int(version[1]) < 23:
            return path
        if subprocess.run([path, "buildx", "version"], capture_output=True, check=False).returncode == 0:
            return path
    return None


def _answers(engine: DockerEngine) -> bool:
    try:
        engine.docker("version")
    except EngineError:
        return False
    return True


def _remove_containers(engine: DockerEngine) -> None:
    if names := engine.docker("ps", "--all", "--quiet").split():
        engine.docker("rm", "--force", "--volumes", *names)


def _unmount(folder: Path) -> None:
    """Unmount what a daemon that was killed has left mounted, the innermost first."""
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for each in sorted((each for each in mounts if each.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "--lazy", each], check=False)


def _bootstrap(root: Path, archive: Path, log: Path) -> None:
    """Install Debian and Python in a folder, and write it to a tar file."""
    mirror = _mirror()
    _run(["debootstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}", RELEASE, root, mirror], log)
    for name in ("python", "python3"):  # the official image has these names, in the same folder
        (root / "usr/local/bin" / name).symlink_to("/usr/bin/python3.11")
    # As in the official image: what ends with the build needs no write to disk for each of its files.
    (root / "etc/dpkg/dpkg.cfg.d/speed").write_text("force-unsafe-io\n")
    if _SOURCES.exists():
        (root / "etc/apt/sources.list").unlink(missing_ok=True)
        shutil.copy(_SOURCES, root / "etc/apt/sources.list.d")
    part = archive.with_suffix(".part")
    part.parent.mkdir(parents=True, exist_ok=True)
    without = [f"--exclude=./{each}/*" for each in ("proc", "sys", "dev", "var/cache/apt", "var/lib/apt/lists")]
    _run(["tar", "--numeric-owner", *without, "-C", root, "-cf", part, "."], log)
    part.rename(archive)
    shutil.rmtree(root)


def _mirror() -> str:
    """Return the archive that this machine installs the release from."""
    asked = ["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)", "Identifier: Packages"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
    found = [line.split()[1] for line in said.splitlines() if line.split()[:1] == [RELEASE]]
    if not found:
        raise EngineError(
            f"apt on this machine knows no archive of {RELEASE}, so there is nothing to make a base image of"
        )
    return found[0]


def _run(command: Sequence[str | Path], log: Path) -> None:
    with log.open("ab") as out:
        code = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, check=False).returncode
    if code:
        raise EngineError(f"{command[0]} ended with {code}:\n{_tail(log)}")


def _tail(log: Path, lines: int = 30) -> str:
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
