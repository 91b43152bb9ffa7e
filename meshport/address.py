"""Mesh addresses, and the names on Kafka that stand behind them.

An address is `mesh://<domain>/<product>/<port>[@<major>]`; port and major may be left out, the scheme too on a
command line. This module is the only place that makes a topic's name; clients never make one, they resolve.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Final, Self

from meshport.errors import AddressError

SCHEME: Final = "mesh://"
_WORD: Final = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")
# Kafka refuses topic names over 249 characters; `.v<major>.g<n>` and the quarantine's suffix need their room.
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
        """Refuse parts that no address can hold.

        Raises:
            AddressError: a part is not made of lower-case words, the major is none or has no port, or all is too long.
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
        """Read `mesh://shop/orders/events@2`, `shop/orders/events`, `shop/orders` and the like.

        Raises:
            AddressError: the text is none of these.
        """
        bare = text.strip().removeprefix(SCHEME)
        path, at, major = bare.partition("@")
        parts = path.split("/")
        if len(parts) not in {2, 3} or not all(parts) or ":" in path:
            raise AddressError(f"{text!r} is no mesh address", text=text, hint=_meant(text))
        if at and not re.fullmatch(r"[1-9][0-9]{0,8}", major):
            raise AddressError(f"{major!r} in {text!r} is no major version", text=text, hint=_SHAPE)
        return cls(parts[0], parts[1], parts[2] if len(parts) == 3 else None, int(major) if at else None)

    def __str__(self) -> str:
        port = f"/{self.port}" if self.port else ""
        major = f"@{self.major}" if self.major else ""
        return f"{SCHEME}{self.domain}/{self.product}{port}{major}"

    @property
    def of_product(self) -> Address:
        """The product that this address belongs to (`mesh://shop/orders`)."""
        return Address(self.domain, self.product)

    @property
    def key(self) -> str:
        """The address without its scheme, as people type it (`shop/orders`)."""
        return str(self).removeprefix(SCHEME)

    def at(self, port: str, major: int) -> Address:
        """The full address of one port and major of this product."""
        return Address(self.domain, self.product, port, major)


def topic_name(address: Address, *, generation: int = 1) -> str:
    """The topic of a full address: `<domain>.<product>.<port>.v<major>`, `.g<n>` for a rebuilt generation.

    Raises:
        AddressError: the address names no port or no major, so that no topic can be told.
        ValueError: the generation is not positive.
    """
    if address.port is None or address.major is None:
        raise AddressError(f"{address} names no port and major", text=str(address), hint="resolve it first")
    if generation < 1:
        raise ValueError(f"generations are counted from 1, found {generation}")
    suffix = f".g{generation}" if generation > 1 else ""
    return f"{address.domain}.{address.product}.{address.port}.v{address.major}{suffix}"


def subject_name(address: Address) -> str:
    """The registry's subject of a full address: that of its first generation's topic, `<topic>-value`.

    Confluent's TopicNameStrategy finds it by the topic alone; generations share it, since they share the contract.
    """
    return f"{topic_name(address)}-value"


def quarantine_name(topic: str) -> str:
    """The topic that takes what could not be processed from `topic`, with its original bytes and the reason."""
    return f"{topic}.quarantine"


def late_name(topic: str) -> str:
    """The topic that takes the events which came after their window's lateness, per derived product's topic."""
    return f"{topic}.late"


def redrive_name(topic: str) -> str:
    """The topic by which the processor that builds `topic` is given quarantined events once more."""
    return f"{topic}.redrive"


def internal_name(topic: str, purpose: str) -> str:
    """A topic that only the processor which builds `topic` reads and writes: its changelog, its re-keyed input."""
    return f"{topic}.{purpose}"


def names_of(topic: str) -> list[str]:
    """The topics that may belong to one generation of a derived product: its own, and those that its processor makes."""
    purposes = ("changelog", "joined.changelog", "rekey", "rekey.changelog")
    aside = (late_name(topic), quarantine_name(topic), redrive_name(topic))
    return [topic, *(internal_name(topic, each) for each in purposes), *aside]


def nearest(text: str, known: list[str]) -> str | None:
    """The known name that was most likely meant by `text`, for a hint; None where none is near."""
    return next(iter(difflib.get_close_matches(text, known, n=1)), None)


def _meant(text: str) -> str:
    """A hint for text of another shape: the address that differs from it in scheme, slashes or case alone."""
    path = re.sub(r"^[a-z]+:/*", "", text.strip().lower())
    spelled = SCHEME + "/".join(filter(None, path.split("/")))
    try:
        return f"did you mean {Address.parse(spelled)}?" if spelled != text else _SHAPE
    except AddressError:
        return _SHAPE


def _respell(text: str) -> str:
    spelled = re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", text).lower()).strip("-")
    return f"did you mean {spelled!r}?" if _WORD.fullmatch(spelled) else "lower-case letters, digits and single hyphens"
