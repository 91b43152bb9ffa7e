"""Values in words, as filters of the templates."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

from markupsafe import Markup, escape

from meshport.address import Address

_LONGEST: Final = 240
_ADDRESS: Final = re.compile(r"mesh://([a-z][a-z0-9-]*)/([a-z][a-z0-9-]*)")
_MAIL: Final = re.compile(r"[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){1,8}")


def page_of(address: Address, page: str = "products") -> str:
    """Return the path of a page about a product: `/catalog/<page>/<domain>/<product>`."""
    return f"/catalog/{page}/{quote(address.domain)}/{quote(address.product)}"


def product_page(key: str) -> str:
    """Return the path of the page of a product that is given as `domain/product`."""
    return f"/catalog/products/{quote(key)}"


def domain_page(domain: str) -> str:
    """Return the path of a domain's page."""
    return f"/catalog/domains/{quote(domain)}"


def time_of(instant: datetime) -> Markup:
    """Return an instant as a `<time>` in UTC, which the script `times.js` shows in the reader's zone."""
    utc = instant.astimezone(UTC)
    machine = utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    text = utc.strftime("%Y-%m-%d %H:%M UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(machine, text, text)


def count(number: int, one: str, many: str | None = None) -> str:
    """Return a number with its noun: `1 product`, `12,000 products`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def lasting(duration: timedelta | None) -> str:
    """Return how long events are kept: `for ever`, `7 days`, `1 day 6 hours`."""
    if duration is None:
        return "for ever"
    left, parts = duration, []
    for unit, length in (
        ("day", timedelta(days=1)),
        ("hour", timedelta(hours=1)),
        ("minute", timedelta(minutes=1)),
        ("second", timedelta(seconds=1)),
    ):
        number, left = divmod(left, length)
        if number:
            parts.append(count(number, unit))
    return " ".join(parts[:2]) or f"{duration / timedelta(milliseconds=1):g} ms"


def waited(seconds: float) -> str:
    """Return how long an event has waited: `less than a second`, `3 seconds`, `2 hours 5 minutes`."""
    return lasting(timedelta(seconds=int(seconds))) if seconds >= 1 else "less than a second"


def short(text: str, longest: int = _LONGEST) -> str:
    """Return a text, cut at a space with an ellipsis where it is too long."""
    if len(text) <= longest:
        return text
    cut = text[:longest]
    return f"{cut[: cut.rfind(' ')] if ' ' in cut else cut}\N{HORIZONTAL ELLIPSIS}"


def marked(text: str) -> Markup:
    """Return a text with what stands in it between backquotes as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backquote without another one stands for itself
        parts[-2:] = ["`".join(parts[-2:])]
    wrapped = (
        Markup("<code>{}</code>").format(each) if index % 2 else escape(each) for index, each in enumerate(parts)
    )
    return Markup("").join(wrapped)


def linked(text: str) -> Markup:
    """Return a text in which the address of a product leads to its page."""
    parts, last = [], 0
    for each in _ADDRESS.finditer(text):
        path = f"/catalog/products/{each[1]}/{each[2]}"
        parts += [escape(text[last : each.start()]), Markup('<a href="{}">{}</a>').format(path, each[0])]
        last = each.end()
    return Markup("").join([*parts, escape(text[last:])])


def contact(text: str) -> Markup:
    """Return where an owner is reached; a mail address as a link to write to it."""
    if _MAIL.fullmatch(text):
        return Markup('<a href="mailto:{}">{}</a>').format(text, text)
    return escape(text)


def readable(data: Any) -> str:
    """Return JSON data as people read it: indented, in its own letters."""
    return json.dumps(data, indent=2, ensure_ascii=False)


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "page": page_of,
    "product_page": product_page,
    "domain_page": domain_page,
    "time": time_of,
    "count": count,
    "lasting": lasting,
    "waited": waited,
    "short": short,
    "marked": marked,
    "contact": contact,
    "linked": linked,
    "readable": readable,
}
"""The filters of the templates, by name."""
