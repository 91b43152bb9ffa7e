"""What a product promises as a whole: its address, its id, the order of its ports, and its lifecycle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from meshport.compat.contract import Change, Found
from meshport.compat.finding import Direction, Part, RollOut, Severity
from meshport.compat.rule import Rule, Scope
from meshport.compat.rules.advice import DAY
from meshport.product import Archetype, Product, Status

_CONTRACT: Final = (Direction.CONTRACT,)


def event_source(change: Change) -> Iterator[Found]:
    """The product has another address under the same id.

    An address is permanent: readers subscribe to it, topics and subjects are named after it, and each stored event has it as
    `ce_source`, which identifies the event together with its id (CloudEvents 1.0.2: source and id together are unique). Under
    a new address, readers would find nothing and events would count twice. No waiver lets it pass.

    Keep the address. A better name is a product of its own with its own id: name it as the `successor` of this one, and
    deprecate this one with a day.
    """
    was, product = change.before.product.address, change.product
    if product is not None and product.address != was:
        yield Found(
            "address",
            f"the product's address was {str(was)!r} and would be {str(product.address)!r}; an address is permanent",
            str(was),
            str(product.address),
            f"keep `address: {was}`; for a new address `meshport new {product.address.key}` writes another product; once it is "
            f"applied, `meshport deprecate {was.key} --on {DAY} --successor {product.address.key}`",
            RollOut.READERS,
            part=Part.PRODUCT,
        )


def product_id(change: Change) -> Iterator[Found]:
    """The product has another id under the same address.

    The id identifies a product permanently: the registry keeps versions, readers, waivers and the lifecycle by it, and other
    catalogs refer to it. With another id the address would be a product without a history. The registry refuses it, and a
    waiver does not change that.

    Restore the id. A different product needs another address.
    """
    was, product = change.before.product.id, change.product
    if product is not None and product.id != was:
        yield Found(
            "id",
            f"the product's id was '{was}' and would be '{product.id}'; an id never changes",
            str(was),
            str(product.id),
            f"write `id: {was}`; another product needs an address of its own",
            part=Part.PRODUCT,
        )


def product_removed(change: Change) -> Iterator[Found]:
    """The whole product is removed without having been retired.

    Its topics and its readers still exist, but no owner is left. A product is retired in the registry, which knows its
    readers and answers 410 with the successor from then on. A waiver cannot do that.

    Deprecate it with a day and a successor, retire it once its readers have left, and then delete it.
    """
    before = change.before.product
    if change.product is None and before.status is not Status.RETIRED:
        yield Found(
            "",
            f"the product {str(before.address)!r} is gone, and nobody has retired it",
            str(before.address),
            None,
            f"put it back; announce its end with `meshport deprecate {before.address.key} --on {DAY} --successor ADDRESS`; when "
            f"its readers have left, `meshport retire {before.address.key}`, then delete it",
            RollOut.READERS,
            part=Part.PRODUCT,
        )


def product_retired(change: Change) -> Iterator[Found]:
    """The product is retired by an edit of its descriptor.

    A retired address answers 410, and a reader stops at its next start. Retiring in the registry checks for readers and is
    refused while there are any; an edit does not. A product that is still a draft has promised nothing.

    Deprecate it with a day and a successor, then retire it in the registry. From then on the edit changes nothing.
    """
    before, product = change.before.product, change.product
    if product is None or before.status in {Status.DRAFT, Status.RETIRED} or product.status is not Status.RETIRED:
        return
    yield Found(
        "status",
        f"the status was {str(before.status)!r} and would be 'retired', without asking who reads the product",
        before.status.value,
        product.status.value,
        f"keep `status: {before.status}`; announce its end with `meshport deprecate {before.address.key} --on {DAY} "
        f"--successor ADDRESS`; when its readers have left, `meshport retire {before.address.key}`",
        RollOut.READERS,
        part=Part.PRODUCT,
    )


def deprecation(change: Change) -> Iterator[Found]:
    """The product is deprecated without a day or a successor, or its day is earlier than announced.

    Readers plan by both. Without them a deprecation is ignored until the day on which it breaks them, and an earlier day
    takes away time that they planned with. It stops no reader today, so this is a warning.

    Give `deprecatedOn` and `successor`; move the day later only.
    """
    before, product = change.before.product, change.product
    if product is None or product.status is not Status.DEPRECATED:
        return
    new = before.status is not Status.DEPRECATED
    if product.deprecated_on is None and (new or before.deprecated_on is not None):
        yield Found(
            "deprecatedOn",
            "the product is deprecated, and nobody says until when readers should have left",
            _iso(before),
            None,
            f"write `deprecatedOn: {DAY}`" if new else f"keep `deprecatedOn: {before.deprecated_on}`",
            RollOut.READERS,
            part=Part.PRODUCT,
        )
    elif _sooner(before, product):
        yield Found(
            "deprecatedOn",
            f"readers had until {before.deprecated_on} to leave and would have until {product.deprecated_on}",
            _iso(before),
            _iso(product),
            f"keep `deprecatedOn: {before.deprecated_on}`",
            RollOut.READERS,
            part=Part.PRODUCT,
        )
    if product.successor is None and (new or before.successor is not None):
        yield Found(
            "successor",
            "the product is deprecated, and nobody says what takes its place",
            None if before.successor is None else str(before.successor),
            None,
            f"keep `successor: {before.successor}`" if before.successor else "write `successor: <address>`",
            RollOut.READERS,
            part=Part.PRODUCT,
        )


def archetype_changed(change: Change) -> Iterator[Found]:
    """The product has another archetype.

    The archetype states what readers can expect: facts that are kept and replayed, figures computed from other products, or
    one consumer's view that may be recomputed. It also decides the default compatibility level; if it lowers the level,
    COMPATIBILITY_LOWERED refuses the change. By itself the change breaks no reader, so this is a warning.

    Inform the readers. If the data is now made in another way, it is usually a product of its own.
    """
    was, product = change.before.product.archetype, change.product
    if product is not None and product.archetype is not was:
        yield Found(
            "archetype",
            f"the product was {was.value} and would be {product.archetype.value}",
            was.value,
            product.archetype.value,
            ("" if was is Archetype.SOURCE_ALIGNED and product.input_ports else f"keep `archetype: {was.value}`; or ")
            + "tell the readers what they can rely on now",
            part=Part.PRODUCT,
        )


def default_port(change: Change) -> Iterator[Found]:
    """Another output port comes first, so that the product's address without a port resolves to it.

    A reader that subscribed to `mesh://domain/product` gets other events with another schema from its next start on, although
    nothing changed on its side.

    Put the port first again; the order of the others is free.
    """
    before, product, port = change.before.product, change.product, change.before.port
    if product is None or change.after is None or port.name != before.default_port.name:
        return
    now = product.default_port.name
    if now != port.name:
        yield Found(
            "outputPorts",
            f"{str(before.address)!r} led to the port {port.name!r} and would lead to {now!r}",
            port.name,
            now,
            f"put `- name: {port.name}` first in outputPorts",
            RollOut.READERS,
            part=Part.PRODUCT,
        )


RULES: Final = (
    Rule(
        "EVENT_SOURCE",
        "an address is permanent",
        _CONTRACT,
        Scope.CHANGE,
        event_source,
        waivable=False,
        holds_unused=True,
    ),
    Rule("PRODUCT_ID", "an id is permanent", _CONTRACT, Scope.CHANGE, product_id, waivable=False, holds_unused=True),
    Rule(
        "PRODUCT_REMOVED",
        "a product exists until it is retired",
        _CONTRACT,
        Scope.CHANGE,
        product_removed,
        waivable=False,
        holds_unused=True,
    ),
    Rule(
        "PRODUCT_RETIRED",
        "a product is retired only after its readers have left",
        _CONTRACT,
        Scope.CHANGE,
        product_retired,
    ),
    Rule(
        "DEPRECATION",
        "a deprecation names a day and a successor",
        _CONTRACT,
        Scope.CHANGE,
        deprecation,
        Severity.WARNING,
    ),
    Rule(
        "ARCHETYPE_CHANGED",
        "a product keeps its archetype",
        _CONTRACT,
        Scope.CHANGE,
        archetype_changed,
        Severity.WARNING,
    ),
    Rule("DEFAULT_PORT", "an address without a port keeps its port", _CONTRACT, Scope.CHANGE, default_port),
)


def _sooner(before: Product, after: Product) -> bool:
    days = before.deprecated_on, after.deprecated_on
    return days[0] is not None and days[1] is not None and days[1] < days[0]


def _iso(product: Product) -> str | None:
    return product.deprecated_on.isoformat() if product.deprecated_on else None
