"""Mesh addresses, and the names that their ports have on Kafka.

An address is `mesh://<domain>/<product>/<port>[@<major>]`; port and major may be left out, the scheme too on a
command line. Only this module makes the names of topics. Clients never make one: they resolve the address.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from meshport.errors import AddressError

SCHEME: Final = "mesh://"
PROCESSOR_GROUPS: Final = "meshport.process."
"""The beginning of the consumer groups of processors; the topic that a processor builds follows."""
_WORD: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
# Kafka refuses topic names over 249 characters; `.v<major>.g<n>` and the longest suffix of a processor's topics need the rest.
_LONGEST: Final = 200
_LAST_MAJOR: Final = 999_999_999
_SHAPE: Final = f"an address is {SCHEME}<domain>/<product>[/<port>[@<major>]]"


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """The permanent name of an output port, or of a product's default port at its live major.

    Attributes:
        domain: lower-case words joined by hyphens (`player`).
        product: the product's name in its domain (`gift-cards`).
        port: an output port's name, or None for the product's default port.
        major: the contract's major line, or None for the live one.
    """

    domain: str
    product: str
    port: str | None = None
    major: int | None = None

    def __post_init__(self) -> None:
        """Check the parts.

        Raises:
            AddressError: a part is not made of lower-case words, the major is out of range or has no port, or the whole is
                too long.
        """
        for part, text in (("domain", self.domain), ("product", self.product), ("port", self.port)):
            if text is not None and not _WORD.fullmatch(text):
                raise AddressError(
                    f"the {part} {text!r} of a mesh address is not made of lower-case words",
                    text=text,
                    hint=_respell(text),
                )
        if self.major is not None and self.port is None:
            raise AddressError(
                f"{self.domain}/{self.product}@{self.major} gives a major version without its port",
                text=f"{self.domain}/{self.product}@{self.major}",
                hint=f"{self.domain}/{self.product}/<port>@{self.major}",
            )
        if self.major is not None and not 1 <= self.major <= _LAST_MAJOR:
            raise AddressError(f"@{self.major} is no major version", text=f"@{self.major}", hint=f"1 to {_LAST_MAJOR}")
        if len(str(self)) > _LONGEST:
            raise AddressError(
                f"the address {str(self)[:40]!r}... has {len(str(self))} characters",
                text=str(self),
                hint=f"at most {_LONGEST}",
            )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an address: `mesh://shop/orders/events@2`, `shop/orders/events`, `shop/orders` and the like.

        Raises:
            AddressError: the text is no address; the hint says what it should be.
        """
        bare = text.strip().removeprefix(SCHEME)
        path, at, major = bare.partition("@")
        parts = path.split("/")
        if len(parts) not in {2, 3} or not all(parts) or ":" in path:
            raise AddressError(f"{text!r} is no mesh address", text=text, hint=_hint_for(text))
        if at and not re.fullmatch(r"[1-9][0-9]{0,8}", major):
            raise AddressError(f"{major!r} in {text!r} is no major version", text=text, hint=_SHAPE)
        return cls(parts[0], parts[1], parts[2] if len(parts) == 3 else None, int(major) if at else None)

    def __str__(self) -> str:
        port = f"/{self.port}" if self.port else ""
        major = f"@{self.major}" if self.major else ""
        return f"{SCHEME}{self.domain}/{self.product}{port}{major}"

    @property
    def of_product(self) -> Address:
        """The address of the product that has this port (`mesh://shop/orders`)."""
        return Address(self.domain, self.product)

    @property
    def key(self) -> str:
        """The address without its scheme (`shop/orders`)."""
        return str(self).removeprefix(SCHEME)

    def at(self, port: str, major: int) -> Address:
        """Return the full address of one port and major of this product."""
        return Address(self.domain, self.product, port, major)


def topic_name(address: Address, *, generation: int = 1) -> str:
    """Return the topic of a full address: `<domain>.<product>.<port>.v<major>`, with `.g<n>` for a rebuilt generation.

    Raises:
        AddressError: the address names no port or no major.
        ValueError: the generation is not positive.
    """
    if address.port is None or address.major is None:
        raise AddressError(f"{address} names no port and major", text=str(address), hint="resolve it first")
    if generation < 1:
        raise ValueError(f"generations are counted from 1, found {generation}")
    suffix = f".g{generation}" if generation > 1 else ""
    return f"{address.domain}.{address.product}.{address.port}.v{address.major}{suffix}"


def subject_name(address: Address) -> str:
    """Return the registry's subject of a full address: `<topic>-value` of its first generation's topic.

    Confluent's TopicNameStrategy derives it from the topic alone. Generations share it, as they share the contract.
    """
    return f"{topic_name(address)}-value"


def quarantine_name(topic: str) -> str:
    """Return the topic of the events that the processor of `topic` could not process: original bytes and the reason."""
    return f"{topic}.quarantine"


def late_name(topic: str) -> str:
    """Return the topic of the events that came too late for their window in the processor of `topic`."""
    return f"{topic}.late"


def redrive_name(topic: str) -> str:
    """Return the topic from which the processor of `topic` reads quarantined events again."""
    return f"{topic}.redrive"


def readers_prefix(group: str) -> str:
    """Return how the names of all topics begin that a group of readers keeps, and those of groups named after it."""
    return f"meshport.reader.{group}."


def retry_name(group: str, topic: str) -> str:
    """Return the topic of the events of `topic` that a group of readers failed on and tries again."""
    return f"{readers_prefix(group)}{topic}.retry"


def reader_quarantine_name(group: str, topic: str) -> str:
    """Return the topic of the events of `topic` that a group of readers could not handle."""
    return quarantine_name(f"{readers_prefix(group)}{topic}")


def reader_redrive_name(group: str, topic: str) -> str:
    """Return the topic of the positions of the events of `topic` that were redriven for a group of readers."""
    return redrive_name(f"{readers_prefix(group)}{topic}")


def replay_name(topic: str, job: str) -> str:
    """Return the topic of a replay job of `topic`, for the readers that the job names."""
    return f"{topic}.replay.{job[:12]}"


def changelog_name(topic: str) -> str:
    """Return the changelog of the state that the processor of `topic` keeps of its input."""
    return f"{topic}.changelog"


def joined_changelog_name(topic: str) -> str:
    """Return the changelog of the state that the processor of `topic` keeps of the second stream of a join."""
    return f"{topic}.joined.changelog"


def repartition_name(topic: str) -> str:
    """Return the repartition topic of the processor of `topic`: its records under the key of their group."""
    return f"{topic}.rekey"


def repartition_changelog_name(topic: str) -> str:
    """Return the changelog of the state that the processor of `topic` keeps of its repartition topic."""
    return f"{topic}.rekey.changelog"


def generation_topics(topic: str) -> list[str]:
    """Return the topics that one generation of a derived product may have: its own, and those that its processor creates."""
    return [
        topic,
        changelog_name(topic),
        joined_changelog_name(topic),
        repartition_name(topic),
        repartition_changelog_name(topic),
        late_name(topic),
        quarantine_name(topic),
        redrive_name(topic),
    ]


def nearest(text: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to `text`, for a hint; None where none is similar."""
    return next(iter(difflib.get_close_matches(text, known, n=1)), None)


def _hint_for(text: str) -> str:
    """Return a hint for text that is no address: the address that differs from it in scheme, slashes or case alone."""
    path = re.sub(r"^[a-z]+:/*", "", text.strip().lower())
    spelled = SCHEME + "/".join(filter(None, path.split("/")))
    try:
        return f"did you mean {Address.parse(spelled)}?" if spelled != text else _SHAPE
    except AddressError:
        return _SHAPE


def _respell(text: str) -> str:
    spelled = re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", text).lower()).strip("-")
    return f"did you mean {spelled!r}?" if _WORD.fullmatch(spelled) else "lower-case letters, digits and single hyphens"
