"""`meshport registry backup`: where the file is written."""

from __future__ import annotations

from pathlib import Path

from meshport_registry.settings import database_url
from meshport_registry.store import RegistryStore
from tests.cli.running import Run


def test_a_folder_gets_a_file_that_is_named_by_the_time(cli: Run, tmp_path: Path) -> None:
    """What makes backups at a time of each day names a folder, and needs no shell that knows the day."""
    database, folder = f"sqlite:///{tmp_path / 'registry.db'}", tmp_path / "backups"
    folder.mkdir()
    RegistryStore(database_url(database)).open().close()
    ended = cli("registry", "backup", str(folder), MESHPORT_REGISTRY_DATABASE=database)
    assert ended.code == 0, ended.err
    (file,) = folder.glob("registry-20??-??-??T??????Z.gz")
    assert str(file) in ended.err
    restored = cli("registry", "restore", str(file), "--database", f"sqlite:///{tmp_path / 'restored.db'}")
    assert restored.code == 0, restored.err
