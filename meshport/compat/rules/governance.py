"""What a product promises to people: who may read it, who owns it, and a description of what it holds.

None of these rules is about a change that stops a running reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from meshport.compat.contract import Change, Found
from meshport.compat.finding import Direction, Part, RollOut, Severity
from meshport.compat.rule import Rule, Scope, Stops
from meshport.compat.rules.advice import WAIVE
from meshport.product import Product

_CONTRACT: Final = (Direction.CONTRACT,)
_CLASSES: Final = ("public", "internal", "confidential", "restricted")
_PLACEHOLDER: Final = re.compile(r"\W*((todo|tbd|fixme|xxx)\b.*|n/a|none|unknown|nobody|description)?\W*", re.I | re.S)


def classification_lowered(change: Change) -> Iterator[Found]:
    """The product's classification is lower: public < internal < confidential < restricted.

    Storage, access and masking follow the classification wherever the data goes, and readers pass it on to what they build.
    Data that was collected as confidential does not become less so by an edit. The change breaks no reader, but it cannot be
    undone once the data has been copied.

    Keep the classification. If the data really became harmless (a field removed, figures aggregated), have the change
    approved by a waiver.
    """
    was, product = change.before.product.classification, change.product
    if product is not None and _CLASSES.index(product.classification) < _CLASSES.index(was):
        yield Found(
            "classification",
            f"the classification was {was!r} and would be {product.classification!r}, which protects less",
            was,
            product.classification,
            f"keep `classification: {was}`; or have it approved: {WAIVE}",
            part=Part.PRODUCT,
        )


def security_group_dropped(change: Change) -> Iterator[Found]:
    """Readers no longer have to be in a security group.

    A system that grants access by the descriptor would then grant it to everyone. As with a lower classification, data that
    was read cannot be called back.

    Keep `requiredSecurityGroup`, or have the change approved by a waiver.
    """
    was, product = change.before.product.required_security_group, change.product
    if product is not None and was and not product.required_security_group:
        yield Found(
            "requiredSecurityGroup",
            f"the security group {was!r} would no longer be required",
            was,
            product.required_security_group,
            f"keep `requiredSecurityGroup: {was}`; or have it approved: {WAIVE}",
            part=Part.PRODUCT,
        )


def security_group_changed(change: Change) -> Iterator[Found]:
    """Readers have to be in another security group, or in one for the first time.

    Today's readers lose access if they are not members by the time the change is applied. It is a warning, since the
    descriptor does not name the members.

    Add the readers to the group first.
    """
    product = change.product
    was, now = change.before.product.required_security_group, product.required_security_group if product else None
    if now and now != was:
        before = f"the security group {was!r} was required" if was else "no security group was required"
        yield Found(
            "requiredSecurityGroup",
            f"{before}, and {now!r} would be",
            was,
            now,
            f"let today's readers into {now!r} before it is applied: `meshport readers {change.before.address.key}`",
            RollOut.READERS,
            part=Part.PRODUCT,
        )


def owner_dropped(change: Change) -> Iterator[Found]:
    """The product no longer has an owner or a contact.

    When a reader breaks at night, its team has only the owner and the contact to turn to. `TODO`, `unknown` and the like
    count as missing.

    Name the team, and an address that it reads.
    """
    before, product = change.before.product, change.product
    if product is None:
        return
    for key, was, now in (("owner", before.owner, product.owner), ("contact", before.contact, product.contact)):
        if not _is_placeholder(was) and _is_placeholder(now):
            yield Found(
                key,
                f"the {key} was {was!r} and would be {'gone' if now is None else repr(now)}",
                was,
                now,
                f"write `{key}: {was}`; or write the {key} that has taken over",
                part=Part.PRODUCT,
            )


def owner_changed(change: Change) -> Iterator[Found]:
    """Another team owns the product.

    The readers learn of it from the gate's verdict at best. The data does not change, so this is a warning.

    Have both teams review the change, and set `contact` along with `owner`.
    """
    was, product = change.before.product.owner, change.product
    if product is not None and product.owner != was and not _is_placeholder(was) and not _is_placeholder(product.owner):
        yield Found(
            "owner",
            f"the owner was {was!r} and would be {product.owner!r}",
            was,
            product.owner,
            f"let {was!r} and {product.owner!r} both review it, and check `contact`",
            part=Part.PRODUCT,
        )


def description_dropped(change: Change) -> Iterator[Found]:
    """The description is a placeholder, or repeats the product's name.

    People find a product by its description and decide on it. No running reader breaks, so this is a warning.

    Write a sentence that describes what the product holds.
    """
    before, product = change.before.product, change.product
    if product is not None and not _is_meaningless(before) and _is_meaningless(product):
        yield Found(
            "description",
            f"the description would be {product.description!r}, which says nothing of what the product holds",
            before.description,
            product.description,
            f"keep `description: {before.description}`; or write a sentence that is better",
            part=Part.PRODUCT,
        )


RULES: Final = (
    Rule(
        "CLASSIFICATION_LOWERED",
        "data stays at least as protected",
        _CONTRACT,
        Scope.CHANGE,
        classification_lowered,
        stops=Stops.NO_READER,
    ),
    Rule(
        "SECURITY_GROUP_DROPPED",
        "access stays restricted to the readers it is meant for",
        _CONTRACT,
        Scope.CHANGE,
        security_group_dropped,
        stops=Stops.NO_READER,
    ),
    Rule(
        "SECURITY_GROUP_CHANGED",
        "readers keep their access",
        _CONTRACT,
        Scope.CHANGE,
        security_group_changed,
        Severity.WARNING,
    ),
    Rule(
        "OWNER_DROPPED",
        "the product has an owner who can be reached",
        _CONTRACT,
        Scope.CHANGE,
        owner_dropped,
        stops=Stops.NO_READER,
    ),
    Rule("OWNER_CHANGED", "readers know the owner", _CONTRACT, Scope.CHANGE, owner_changed, Severity.WARNING),
    Rule(
        "DESCRIPTION_DROPPED",
        "the description says what the product holds",
        _CONTRACT,
        Scope.CHANGE,
        description_dropped,
        Severity.WARNING,
    ),
)


def _is_placeholder(text: str | None) -> bool:
    return text is None or _PLACEHOLDER.fullmatch(text) is not None


def _is_meaningless(product: Product) -> bool:
    letters = _letters(product.description)
    return _is_placeholder(product.description) or letters in {
        _letters(product.address.product),
        _letters(product.address.key),
    }


def _letters(text: str) -> str:
    return re.sub(r"\W", "", text).lower()
