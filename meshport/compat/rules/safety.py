"""What a schema by itself lets happen: bombs, endless nesting, defaults that are no values, logical types that are ignored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from meshport.codec.defaults import default_of
from meshport.codec.limits import MAX_DEPTH, MAX_ZERO_WIDTH
from meshport.compat.contract import Contract, Found
from meshport.compat.defaults import fields_of, misfits
from meshport.compat.finding import Direction, RollOut, Severity
from meshport.compat.forms import Form, brief, declared, inner, is_named, named_types
from meshport.compat.rule import Rule, Scope
from meshport.compat.rules.schema_text import as_json, default_text, shown
from meshport.errors import SchemaError
from meshport.schema.bounds import Shapes, refuse_bomb
from meshport.schema.logical import flaw, underlying

_READERS: Final = (Direction.FORWARD,)


def decoding_bomb(contract: Contract) -> Iterator[Found]:
    """A few bytes, or none, can be decoded into more than memory holds.

    "Billion laughs" in Avro: n records whose two fields both have the next record's type, the last one empty, are 2^n values
    and not one byte. With 22 of them fastavro takes 12 s and 1 GB for an empty payload, with 26 it does not return. Avro's
    own hardening of 2026 (AVRO-4282, AVRO-4296, AVRO-4328) bounds counts and depth, not this. The rule also refuses a record
    that contains itself directly (no value of it ends), more than 64 records in one another, more than 5,000 types, more
    than 1 MB of schema without white space, and defaults that fill in one another. Most of these are refused when the schema
    is parsed, before any rule runs. No waiver lets it pass: registration is where such an attack begins.

    Nest fewer records that have no field that takes bytes. Refer to a record from within itself through a union with null,
    an array or a map.
    """
    try:
        refuse_bomb(contract.schema.form, source="the schema")
    except SchemaError as error:
        yield Found("", error.message, advice=error.hint or "nest fewer records in one another")


def default_misfit(contract: Contract) -> Iterator[Found]:
    """The default of a field is no value of the field's type.

    The error appears in production, when the first event lacks the field. Java refuses some such defaults when it parses the
    schema ("Invalid default for field"), but not a symbol that the enum lacks, a fixed of the wrong size, an invalid uuid,
    or characters above U+00FF in bytes. fastavro checks the outermost JSON type only and accepts 2^40 for an int, text among
    an array's numbers, or a record without its fields. Python's avro accepts anything and reports it as compatible (Avro
    1.12, "Complex Types", table of defaults). No waiver lets it pass, because the port's own encoder could not be generated.

    Write a default of the field's type. For "not known", use a union with null and the default null.
    """
    named = named_types(contract.schema.form)
    for path, field in misfits(contract.schema.form):
        yield Found(
            path,
            f"the default of {field['name']!r} is {shown(field['default'])}, which is no value of {brief(field['type'])}",
            None,
            field["default"],
            f'give {field["name"]!r} a default of its type, such as "default": {default_text(field["type"], named)}',
            RollOut.ANY,
        )


def default_branch(contract: Contract) -> Iterator[Found]:
    """The default of a union is a value of a later branch than the first.

    Avro allows it since 1.12. Up to 1.11 a default had to be a value of the first branch; older libraries refuse the schema,
    or read the default as the first branch: in ["string", "null"] the default null is no default to them. Meshport's codec
    and fastavro take the first branch that fits; hence a warning.

    Put the default's branch first.
    """
    form = contract.schema.form
    named = named_types(form)
    for path, field in fields_of(form):
        if "default" not in field or not isinstance(field["type"], list):
            continue
        fits = [index for index, branch in enumerate(field["type"]) if _fits(branch, field["default"], named)]
        if fits and fits[0]:
            branch = field["type"][fits[0]]
            order = as_json([branch, *(each for each in field["type"] if each != branch)])
            yield Found(
                path,
                f"the default {shown(field['default'])} of {field['name']!r} is no value of the first branch, "
                "which libraries up to Avro 1.11 ask for",
                None,
                brief(field["type"]),
                f"write the branches as {order}" if len(order) < 200 else f"put {brief(branch)} first",
                RollOut.ANY,
            )


def zero_width_items(contract: Contract) -> Iterator[Found]:
    """The items of an array take no bytes: null, an empty record, a fixed of size 0.

    Such an array costs its count only: six bytes can announce a billion items, and a reader builds them. fastavro 1.13 takes
    4 GB and 15 s before it fails; Apache Avro bounds such items since 2026 (AVRO-4282), older libraries do not. Meshport's
    reader stops at 10,000 for one event; readers in other languages may not stop. A map of nulls is not affected: each key
    takes at least a byte.

    Write the count itself as a long, or give the items a type that takes bytes.
    """
    form = contract.schema.form
    shapes = Shapes(form)
    for path, each in declared(form):
        if each["type"] == "array" and not shapes.of(each["items"]).width:
            name = path.rpartition(".")[2] or "the value"
            yield Found(
                path,
                f"the items of {name!r} ({brief(each['items'])}) take no bytes: six bytes can ask for a billion of them, "
                f"and only some readers stop (ours at {MAX_ZERO_WIDTH:,})",
                None,
                brief(each),
                f'make {name!r} a count, "type": "long" (as a new field with "default": 0); or give its items a type that '
                'takes bytes, such as "long"',
                RollOut.ANY,
            )


def ignored_logical_type(contract: Contract) -> Iterator[Found]:
    """A logical type of the specification is invalid, so that every reader ignores it and gets the bare value.

    Avro 1.12, "Logical Types": a logical type on a type that it does not annotate (`date` on a long), and a decimal without a
    precision, with numbers written as text, with a scale above its precision, or with more digits than its fixed holds, must
    be ignored. Libraries do so without an error: Java returns bytes for the decimal, and so does Meshport. The mistake shows
    when amounts are read, and then it cannot be mended in place: LOGICAL_TYPE refuses another meaning of the events that are
    stored. The registry takes such a schema under a subject that belongs to no product.

    Write the logical type as the specification has it, or take it away if the bare value is meant. A logical type that the
    specification does not define is not affected.
    """
    for path, each in declared(contract.schema.form):
        if (why := flaw(each)) is not None:
            name = path.rpartition(".")[2] or each.get("name", "the value")
            yield Found(
                path,
                f"the logical type {shown(each['logicalType'])} of {name!r} {why}: every reader ignores it and gets "
                f"{brief(underlying(each))}",
                None,
                shown(each["logicalType"]),
                f'take "logicalType" away from the type of {name!r}; or write it as the specification has it',
                RollOut.ANY,
            )


def recursive_type(contract: Contract) -> Iterator[Found]:
    """A record contains itself, through a union, an array or a map.

    This is legal Avro, and how trees are written. The writer alone then decides how deep a value nests: fastavro's reader
    recurses in C, and 6 kB of a linked list end the whole process (SIGSEGV; on a thread's stack 1 kB is enough). Meshport's
    reader stops at 100 levels; hence a warning, for readers that use another one.

    If the depth is not small by nature, write the nodes as one array, each with the id of its parent.
    """
    form = contract.schema.form
    for path, name in _references_back(form):
        yield Found(
            path,
            f"the record {name!r} contains itself here: events may nest as deep as their writer likes, and not every "
            f"reader stops (ours at {MAX_DEPTH} levels)",
            None,
            name,
            "hold the nodes in one array, each with the id of its parent; or tell the readers how deep it goes, in the doc",
            RollOut.ANY,
        )


RULES: Final = (
    Rule(
        "DECODING_BOMB",
        "a decoded value stays in proportion to its bytes",
        _READERS,
        Scope.DECLARATION,
        decoding_bomb,
        waivable=False,
    ),
    Rule(
        "DEFAULT_MISFIT",
        "a default is a value of its field",
        (Direction.BACKWARD,),
        Scope.DECLARATION,
        default_misfit,
        waivable=False,
    ),
    Rule(
        "DEFAULT_BRANCH",
        "a default is of its union's first branch",
        (Direction.BACKWARD,),
        Scope.DECLARATION,
        default_branch,
        Severity.WARNING,
    ),
    Rule("ZERO_WIDTH_ITEMS", "an array's items take bytes", _READERS, Scope.DECLARATION, zero_width_items),
    Rule(
        "LOGICAL_TYPE_IGNORED",
        "a logical type is one that readers convert",
        _READERS,
        Scope.DECLARATION,
        ignored_logical_type,
    ),
    Rule(
        "RECURSIVE_TYPE",
        "the schema bounds how deep an event nests",
        _READERS,
        Scope.DECLARATION,
        recursive_type,
        Severity.WARNING,
    ),
)


def _fits(form: Any, data: Any, named: Mapping[str, Form]) -> bool:
    try:
        default_of(form, data, named)
    except SchemaError:
        return False
    return True


def _references_back(form: Any) -> Iterator[tuple[str, str]]:
    """Yield where a record is named within its own definition; every cycle of types contains one such reference.

    A type is defined at its first use, so walking the text is a depth-first search of the types.
    """
    stack: list[tuple[str, Any, frozenset[str]]] = [("", form, frozenset())]
    while stack:
        path, each, within = stack.pop()
        found: list[tuple[str, Any, frozenset[str]]] = []
        if isinstance(each, str):
            if each in within:
                yield path, each
        elif isinstance(each, list):
            found = [(path, branch, within) for branch in each]
        else:
            inside = within | {each["name"]} if is_named(each) else within
            found = [(path, each[key], within) for key in ("items", "values") if key in each]
            found += [(inner(path, field["name"]), field["type"], inside) for field in each.get("fields", ())]
        stack.extend(reversed(found))
