"""`archive` of an output port: its events are kept for ever in a table."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator

from meshport.product.input_port import Model


class Archive(Model):
    """Where the events of a port are archived, as an Apache Iceberg table.

    Attributes:
        store: the URL of the folder that holds the files: `file:///srv/archive`, `s3://bucket/prefix`; by default that of the
            variable MESHPORT_ARCHIVE where the archive runs.
        catalog: the URL of the Iceberg catalog: a REST catalog (`https://...`) or a database (`postgresql+psycopg://...`); by
            default a file in the store, which has to be a folder then.
    """

    store: str | None = Field(
        default=None,
        pattern="^[a-z][a-z0-9+.-]*://.",
        description="the URL of the folder of its files: file:///srv/archive, s3://bucket/prefix; by default that of the "
        "variable MESHPORT_ARCHIVE where the archive runs",
    )
    catalog: str | None = Field(
        default=None,
        pattern="^[a-z][a-z0-9+.-]*://.",
        description="the URL of the Iceberg catalog, a REST catalog or a database; by default a file in the store, which has to "
        "be a folder then",
    )

    @field_validator("store", "catalog")
    @classmethod
    def _without_password(cls, url: str | None) -> str | None:
        if url is not None and urlsplit(url).password is not None:
            raise ValueError("a product.yaml has no passwords: give it where the archive runs, as pyiceberg takes it")
        return url
