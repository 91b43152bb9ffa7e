"""Removes from an environment what no process of the image can use. A step of the Dockerfile: `python slim.py /opt/meshport`.

Nothing is guessed at run time: `rootfs.py` imports every module of Meshport afterwards and fails the build where one is gone.
Needs `patchelf` and `strip`.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

# Parts of distributions, relative to site-packages.
_UNUSED: Final = (
    # What compilers and type checkers read.
    "**/*.pyi",
    "**/*.pyx",
    "**/*.pxd",
    "**/*.pxi",
    "**/*.h",
    "**/*.hpp",
    "**/*.a",
    "**/*.c",
    "pyarrow/include",
    "pyarrow/includes",
    "pyarrow/src",
    "numpy/_core/include",
    "numpy/_core/lib",
    "numpy/f2py",
    "numpy/typing/mypy_plugin.py",
    # Tests of distributions.
    "**/tests",
    "numpy/_core/*_tests.*.so",
    "numpy/_core/_simd.*.so",
    "multidict/_testcapi.*.so",
    "sqlalchemy/testing",
    "alembic/testing",
    # Arrow's files and transports. Meshport has Arrow's memory and its compute kernels (`pyarrow.compute`).
    "pyarrow/*csv*",
    "pyarrow/*json*",
    "pyarrow/*fs.*",
    "pyarrow/*flight*",
    "pyarrow/*substrait*",
    "pyarrow/*dataset*",
    "pyarrow/*parquet*",
    "pyarrow/*orc*",
    "pyarrow/*feather*",
    "pyarrow/*s3*",
    "pyarrow/*cuda*",
    "pyarrow/*cpp_tests*",
    # Colours for source text: rich draws tracebacks of Python, and none of the other five hundred languages.
    "pygments/lexers/[!_p]*.py",
    "pygments/lexers/_*_builtins.py",
    "pygments/lexers/p[!y]*.py",
    # Names under which only a linker finds them.
    "pyarrow/libarrow_python.so",
    "pyarrow/libarrow_python.so.*.*.*",
)
# These libraries of pyarrow name libraries above as needed, although they use no symbol of them.
_LINKED: Final = ("libarrow_substrait", "libarrow_dataset", "libparquet")


def slim(packages: Path) -> None:
    """Remove the unused parts of what is installed in a site-packages, and the symbols that only a debugger reads."""
    for pattern in _UNUSED:
        for each in packages.glob(pattern):
            if each.is_dir():
                shutil.rmtree(each)
            elif each.exists():
                each.unlink()
    _share_time_zones(packages)
    libraries = [each for each in packages.rglob("*.so*") if each.is_file() and not each.is_symlink()]
    for each in libraries:
        if each.parent.name == "pyarrow":
            _unlink(each)
        if each.parent.suffix != ".libs":  # rewritten for their wheel: strip would misplace their segments
            _run("strip", "--strip-unneeded", each)
    for each in packages.glob("*.dist-info/RECORD"):
        _rewrite(each, packages)


def _share_time_zones(packages: Path) -> None:
    """Have pytz read the time zones of tzdata, which are the same files."""
    own, shared = packages / "pytz" / "zoneinfo", packages / "tzdata" / "zoneinfo"
    if own.is_dir() and not own.is_symlink() and shared.is_dir():
        shutil.rmtree(own)
        own.symlink_to("../tzdata/zoneinfo")


def _unlink(library: Path) -> None:
    """Take the removed libraries from what a library needs; the loader would refuse it where a symbol of them were used."""
    needed = _run("patchelf", "--print-needed", library).split()
    gone = [each for each in needed if each.startswith(_LINKED)]
    if gone:
        _run("patchelf", *(word for each in gone for word in ("--remove-needed", each)), library)


def _rewrite(record: Path, packages: Path) -> None:
    """Have a RECORD name the files that are there, as they are now."""
    with record.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.reader(lines) if (packages / row[0]).is_file()]
    for row in rows:
        if row[1]:
            content = (packages / row[0]).read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            row[1:] = [f"sha256={digest}", str(len(content))]
    with record.open("w", encoding="utf-8", newline="") as lines:
        csv.writer(lines, lineterminator="\n").writerows(rows)


def _run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    (found,) = Path(sys.argv[1]).glob("lib/python*/site-packages")
    slim(found)
