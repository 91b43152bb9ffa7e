"""References to values outside of a config, in the syntax of Kafka's config providers (KIP-297, KIP-421, KIP-887).

- `${env:NAME}`: a variable of the environment.
- `${file:PATH:KEY}`: a property of a `.properties` file.
- `${directory:PATH:NAME}`: the text of a file in a directory, as Kubernetes mounts secrets.
- `${file:PATH}`: the text of a file; Meshport's own short form of the one before.

The text of a file is without the end of its last line. A relative path begins at the folder of the file that has the reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from meshport.errors import KafkaConfigError
from meshport.kafka.properties_file import read_properties

__all__ = ["dereferenced", "has_reference"]

# The expression of Kafka's ConfigTransformer.
_REFERENCE: Final = re.compile(r"\$\{([^}]*?):(([^}]*?):)?([^}]*?)\}")


def has_reference(text: str) -> bool:
    """Return whether a text has a reference."""
    return _REFERENCE.search(text) is not None


def dereferenced(
    text: str, *, folder: Path, environment: Mapping[str, str], written: Callable[[str], str] = str
) -> str:
    """Return a text with what its references lead to; what they lead to may not refer further.

    Args:
        text: the text.
        folder: where relative paths begin.
        environment: the variables.
        written: how what a reference leads to is written into the text.

    Raises:
        KafkaConfigError: a reference leads nowhere, or to an empty text. The message has the reference, not the text.
    """

    def found(match: re.Match[str]) -> str:
        reference, provider, path, key = match[0], match[1], match[3], match[4]
        if provider == "env" and path is None:
            value = environment.get(key)
            if value is None:
                raise KafkaConfigError(f"{reference} leads to a variable that is not set")
        elif provider == "file":
            value = _text(folder / key, reference) if path is None else _property(folder / path, key, reference)
        elif provider == "directory" and path is not None:
            value = _text(folder / path / Path(key).name, reference)
        else:
            raise KafkaConfigError(
                f"{reference} is no reference that can be followed",
                hint="${env:NAME}, ${file:PATH}, ${file:PATH:KEY} and ${directory:PATH:NAME} can",
            )
        if not value:
            raise KafkaConfigError(f"{reference} leads to an empty text")
        return written(value)

    return _REFERENCE.sub(found, text)


def _text(file: Path, reference: str) -> str:
    try:
        text = file.expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
        raise KafkaConfigError(f"{reference} leads to {file}, which cannot be read: {why}") from None
    return text.removesuffix("\n").removesuffix("\r")


def _property(file: Path, key: str, reference: str) -> str:
    values = [each.value for each in read_properties(_text(file, reference)) if each.name == key]
    if not values:
        raise KafkaConfigError(f"{reference} leads to {file}, which has no property {key}")
    return values[-1]
