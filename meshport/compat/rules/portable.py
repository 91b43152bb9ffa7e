"""Names that libraries in some languages do not read, or do not find: legal in Java, and so in most registries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from meshport.compat.contract import Contract, Found
from meshport.compat.finding import Direction, RollOut, Severity
from meshport.compat.forms import declared, inner, is_named
from meshport.compat.rule import Rule, Scope
from meshport.schema.canonical import PRIMITIVES
from meshport.schema.names import is_plain_full_name, is_plain_name, plain_spelling


def name_not_portable(contract: Contract) -> Iterator[Found]:
    """A type, field or symbol has a name with other characters than the specification allows.

    Avro 1.12, "Names": letters of ASCII, digits and `_`, for each part of a namespace too. Java's library takes letters of any
    script, and so the registry does for subjects of no product: what a connector registers cannot be edited. Libraries in
    Go and Rust refuse the whole schema; Apache's library for Python refuses such a type, and fastavro such a symbol. Two names
    may look alike and differ in their bytes, as the composed and the decomposed spelling of one letter do (Unicode NFC, NFD).

    Write names in ASCII; a `doc` can say in any language what a field means.
    """
    for path, form in declared(contract.schema.form):
        if is_named(form) and not is_plain_full_name(form["name"]):
            yield _odd(path, form["type"], form["name"], ".".join(map(plain_spelling, form["name"].split("."))))
        for symbol in form["symbols"] if form["type"] == "enum" else ():
            if not is_plain_name(symbol):
                yield _odd(path, "symbol", symbol, plain_spelling(symbol))
        for field in form.get("fields", ()):
            if not is_plain_name(field["name"]):
                yield _odd(inner(path, field["name"]), "field", field["name"], plain_spelling(field["name"]))


def _odd(path: str, kind: str, name: str, other: str) -> Found:
    return Found(
        path,
        f"the {kind} {name!r} has a name of other characters than ASCII letters, digits and _, which readers in Go, Rust and "
        "Python refuse",
        None,
        name,
        f"take a name that was never used, such as {other!r}, and write what it means in its doc",
        RollOut.ANY,
    )


def null_namespace_reference(contract: Contract) -> Iterator[Found]:
    """A type without a namespace is referred to from inside a namespace.

    Avro has no spelling for this but the bare name. Java's library looks for it in the enclosing namespace, then in the null
    namespace; fastavro, and with it Confluent's deserializer for Python, looks in the enclosing namespace alone and refuses
    the schema as having an unknown type. Oracle GoldenGate registers such schemas, so this is a warning. Observed with
    fastavro 1.13.1 and Avro Java 1.12.1; the latter does not find the record that is being defined either.

    If you write the schema, give the type a namespace.
    """
    stack: list[tuple[str, Any, str]] = [("", contract.schema.form, "")]
    while stack:
        path, form, namespace = stack.pop()
        found: list[tuple[str, Any, str]] = []
        if isinstance(form, str):
            if namespace and "." not in form and form not in PRIMITIVES:
                yield Found(
                    path,
                    f"{form!r} has no namespace and is referred to inside of {namespace!r}, where fastavro does not find it",
                    None,
                    form,
                    f"let the type {form!r} have a namespace; or tell the readers in Python",
                    RollOut.ANY,
                )
        elif isinstance(form, list):
            found = [(path, branch, namespace) for branch in form]
        else:
            inside = form["name"].rpartition(".")[0] if is_named(form) else namespace
            found = [(path, form[key], namespace) for key in ("items", "values") if key in form]
            found += [(inner(path, field["name"]), field["type"], inside) for field in form.get("fields", ())]
        stack.extend(reversed(found))


RULES: Final = (
    Rule(
        "NAME_NOT_PORTABLE",
        "names are those that every Avro library reads",
        (Direction.FORWARD,),
        Scope.DECLARATION,
        name_not_portable,
    ),
    Rule(
        "NULL_NAMESPACE_REFERENCE",
        "a type that is referred to inside a namespace has one",
        (Direction.FORWARD,),
        Scope.DECLARATION,
        null_namespace_reference,
        Severity.WARNING,
    ),
)
