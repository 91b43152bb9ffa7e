"""Where the archive of a port lies: a folder or an object store for its files, and an Iceberg catalog for its table.

The catalog is pyiceberg's, under the name `meshport`: what `.pyiceberg.yaml` and the variables `PYICEBERG_CATALOG__MESHPORT__*`
say of it (endpoints and keys of a store, the token of a REST catalog) counts as everywhere in pyiceberg.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import unquote, urlsplit

from meshport.binding import Binding
from meshport.errors import ArchiveError
from meshport.product.archive import Archive

__all__ = ["VARIABLE", "ArchivePlace"]

VARIABLE: Final = "MESHPORT_ARCHIVE"
"""The store of ports that name none."""
_CATALOG: Final = "meshport"


@dataclass(frozen=True, slots=True)
class ArchivePlace:
    """A store and a catalog.

    Attributes:
        store: the URL of a folder; without a slash at its end.
        catalog: the URL of a REST catalog (`https://...`), or of a database in SQLAlchemy's form.
    """

    store: str
    catalog: str

    @classmethod
    def of(cls, declared: Archive) -> Self:
        """Return the place that a port declares.

        Args:
            declared: the port's `archive`.

        Raises:
            ArchiveError: neither names a store, or the store is no folder and no catalog is named.
        """
        store = declared.store or os.environ.get(VARIABLE)
        if not store:
            raise ArchiveError(
                f"the port's archive names no store, and {VARIABLE} is not set",
                hint="`archive: {store: URL}`, with a folder (file:///srv/archive) or an object store (s3://bucket/prefix)",
            )
        store = store.rstrip("/")
        if "://" not in store:
            store = Path(store).absolute().as_uri()
        if declared.catalog is not None:
            return cls(store, declared.catalog)
        if (folder := _folder(store)) is None:
            raise ArchiveError(
                f"the archive in {store} names no catalog",
                hint="`archive: {store: ..., catalog: URL}`: a REST catalog (https://...) or a database "
                "(postgresql+psycopg://...); only a folder has one of its own",
            )
        return cls(store, f"sqlite:///{folder / 'catalog.db'}")

    @property
    def is_made(self) -> bool:
        """Whether the folder exists, where the store is one; of an object store it is not known before its catalog is asked."""
        folder = _folder(self.store)
        return folder is None or folder.is_dir()

    def make(self) -> None:
        """Make the folder, where the store is one."""
        if (folder := _folder(self.store)) is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def open_catalog(self) -> Any:
        """Return the `pyiceberg.catalog.Catalog`.

        Raises:
            ArchiveError: pyiceberg is not installed, or the catalog cannot be opened.
        """
        try:
            from pyiceberg.catalog import load_catalog  # noqa: PLC0415 - of the extra, and takes half a second
        except ModuleNotFoundError as error:
            raise ArchiveError("archives need pyiceberg", hint="pip install 'meshport[archive]'") from error

        kind = "rest" if self.catalog.startswith(("http://", "https://")) else "sql"
        try:
            return load_catalog(_CATALOG, type=kind, uri=self.catalog, warehouse=self.store)
        except Exception as error:  # its databases and HTTP clients raise each their own
            raise ArchiveError(f"the catalog {_without_password(self.catalog)} cannot be opened: {error}") from error

    def location(self, binding: Binding) -> str:
        """Return the URL of the folder of a port's table."""
        namespace, name = self.table(binding)
        return f"{self.store}/{namespace}/{name}"

    @staticmethod
    def table(binding: Binding) -> tuple[str, str]:
        """Return namespace and name of a port's table, in which SQL needs no quotes: one table for each line and generation."""
        address = binding.address
        words = [str(address.product), str(address.port), f"v{address.major}"]
        if binding.generation > 1:
            words.append(f"g{binding.generation}")
        return address.domain.replace("-", "_"), "__".join(words).replace("-", "_")


def _folder(store: str) -> Path | None:
    parts = urlsplit(store)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return url if parts.password is None else url.replace(f":{parts.password}@", ":***@")
