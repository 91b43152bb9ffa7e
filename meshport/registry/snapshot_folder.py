"""A snapshot of a registry as a folder of JSON files, one for each subject: to keep, to compare in git, to import elsewhere.

`registry.json` has the level and the mode of all subjects, and the format's number. The name of a subject's file is for people;
the subject is the one that stands in it.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from pydantic import ValidationError

from meshport.errors import FileError
from meshport.snapshot import RegistrySnapshot, SubjectCopy

FORMAT: Final = 1
_HEAD: Final = "registry.json"
_SUBJECTS: Final = "subjects"
_LONGEST_NAME: Final = 150


def write_snapshot(snapshot: RegistrySnapshot, folder: Path) -> None:
    """Write a snapshot; the files of an earlier one in the same folder are replaced, and those of subjects that are gone removed.

    Raises:
        FileError: the folder has other files, or cannot be written.
    """
    head = folder / _HEAD
    try:
        if folder.is_dir() and any(folder.iterdir()) and not head.is_file():
            raise FileError(
                f"{folder} has other files", file=str(folder), hint="a new folder, or one of an earlier export"
            )
        (folder / _SUBJECTS).mkdir(parents=True, exist_ok=True)
        written = set()
        for subject in snapshot.subjects:
            file = folder / _SUBJECTS / _file_name(subject.name)
            _write(file, subject.model_dump(mode="json", by_alias=True, exclude_defaults=True))
            written.add(file.name)
        for file in (folder / _SUBJECTS).glob("*.json"):
            if file.name not in written:
                file.unlink()
        facts = snapshot.model_dump(mode="json", by_alias=True, exclude={"subjects"})
        _write(head, {"format": FORMAT, **facts, "subjects": len(snapshot.subjects)})
    except OSError as error:
        raise FileError(f"{folder} cannot be written: {error.strerror}", file=str(error.filename or folder)) from error


def read_snapshot(folder: Path) -> RegistrySnapshot:
    """Return the snapshot in a folder.

    Raises:
        FileError: the folder has none, or a part of one.
    """
    head = _read(folder / _HEAD)
    if head.pop("format", None) != FORMAT:
        raise FileError(
            f"{folder / _HEAD} is no export of a registry", file=str(folder / _HEAD), hint=f'"format": {FORMAT}'
        )
    expected = head.pop("subjects", None)
    files = sorted((folder / _SUBJECTS).glob("*.json"))
    if len(files) != expected:
        raise FileError(
            f"{folder} has {len(files)} subjects; {_HEAD} names {expected}", file=str(folder), hint="export it again"
        )
    subjects = [_subject(file) for file in files]
    try:
        return RegistrySnapshot.model_validate(
            {**head, "source": str(folder), "subjects": tuple(sorted(subjects, key=lambda each: each.name))}
        )
    except ValidationError as error:
        raise _misfit(folder / _HEAD, error) from error


def _subject(file: Path) -> SubjectCopy:
    data = _read(file)
    try:
        return SubjectCopy.model_validate(data)
    except ValidationError as error:
        raise _misfit(file, error) from error


def _misfit(file: Path, error: ValidationError) -> FileError:
    first = error.errors(include_input=False)[0]
    path = ".".join(map(str, first["loc"]))
    return FileError(f"{file}: {path}: {first['msg']}", file=str(file), hint="export it again")


def _file_name(subject: str) -> str:
    """Return the name of a subject's file; two subjects have two, also where the case of letters does not count."""
    name = quote(subject, safe=" ")
    if len(name) <= _LONGEST_NAME and name == name.lower() and not name.startswith("."):
        return f"{name}.json"
    return f"{name[:_LONGEST_NAME].lstrip('.')}~{hashlib.sha256(subject.encode()).hexdigest()[:12]}.json"


def _write(file: Path, data: dict[str, Any]) -> None:
    staging = file.with_name(f".{file.name}.part")
    staging.write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    staging.replace(file)


def _read(file: Path) -> dict[str, Any]:
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{file} cannot be read: {error.strerror}", file=str(file)) from error
    except ValueError as error:
        raise FileError(f"{file} is no JSON: {error}", file=str(file)) from error
    if not isinstance(data, dict):
        raise FileError(f"{file} is no JSON object", file=str(file))
    return data
