"""The migration of a line: it makes an event of this contract of every event that the earlier line could hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from meshport.codec import codec_for
from meshport.compat.contract import Contract, Found
from meshport.compat.finding import Direction, Part
from meshport.compat.rule import Rule, Scope
from meshport.compat.samples import samples
from meshport.errors import CodecError, EncodeError, ProcessError, SchemaError
from meshport.expression.migrated import RecordMigration

_CONTRACT: Final = (Direction.CONTRACT,)
# Findings of one migration.
_MOST: Final = 8


def migration(contract: Contract) -> Iterator[Found]:
    """The migration of an earlier line cannot make an event of this line of every event that the earlier line could hold.

    Readers of this line read the earlier one's events as events of this contract. One for which an expression fails, or that
    does not fit the contract, is an event that they cannot read. One with another record key would follow other events than
    those of its own thing, and a table would keep both rows.

    The gate generates events of the earlier contract: every branch of each union, every symbol, numbers at their bounds, texts
    that are empty or not ASCII. It migrates each, writes it with this contract, and compares the values of the two record keys.

    Compute the field of what the earlier contract has: `coalesce(label, "none")` replaces null, and `a if c else b` chooses
    between two values. A field of the same name and type needs no expression, and one that has no past needs a default.
    """
    declared, earlier = contract.port.migration, contract.migrated
    if declared is None or earlier is None:
        return
    found: dict[str, str] = {}
    for field, words in _failures(declared.fields, earlier, contract):
        found.setdefault(field, words)
        if len(found) == _MOST:
            break
    for field, words in found.items():
        yield Found(
            f"migration.fields.{field}" if field else "migration",
            f"an event of {earlier.address.key} cannot be migrated: {words}",
            after=declared.fields.get(field),
            advice=_advice(field, earlier.schema.field_names, contract.schema.field_names),
            part=Part.PORT,
        )


def _advice(field: str, earlier: Sequence[str], names: Sequence[str]) -> str:
    if not field:
        return "keep the record key, or leave `migration` out"
    if field not in names:
        return f"take '{field}' out of `migration.fields`"
    if field in earlier:
        return f"write `{field}: {field}` under `migration.fields`, the value as it was"
    return f"compute '{field}' of fields of the earlier contract ({', '.join(earlier)}); or give '{field}' a default"


def _failures(fields: Mapping[str, str], earlier: Contract, contract: Contract) -> Iterator[tuple[str, str]]:
    """Yield (field of the contract, what is wrong) of events of the earlier contract."""
    keys = earlier.port.key_fields, contract.port.key_fields
    if len(keys[0]) != len(keys[1]):
        yield "", f"its record key has {len(keys[0])} fields, and that of {contract.address.key} has {len(keys[1])}"
        return
    sound = {}
    for name, text in fields.items():
        try:
            RecordMigration({name: text}, earlier.schema, contract.schema)
        except ProcessError as error:
            yield name, error.message
        else:
            sound[name] = text
    if len(sound) < len(fields):
        return
    migrate = RecordMigration(fields, earlier.schema, contract.schema)
    before, after = codec_for(earlier.schema), codec_for(contract.schema)
    try:
        bodies = samples(earlier.schema)
    except SchemaError:
        return  # a rule about that line's own schema
    for body in bodies:
        yield from _of_one(before.decode(body), migrate, (after.encode, after.decode), keys)


def _of_one(
    record: Any,
    migrate: RecordMigration,
    stored: tuple[Callable[[Any], bytes], Callable[[bytes], Any]],
    keys: tuple[tuple[str, ...], tuple[str, ...]],
) -> Iterator[tuple[str, str]]:
    encode, decode = stored
    try:
        made = decode(encode(migrate(record)))
    except ProcessError as error:
        yield error.message.partition(" = ")[0], error.message
    except EncodeError as error:
        yield (error.field or "").partition(".")[0].partition("[")[0], error.message
    except CodecError as error:
        yield "", error.message
    else:
        for was, now in zip(*keys, strict=True):
            one, other = record[was], made[now]
            if (type(one), str(one)) != (type(other), str(other)):
                yield now, f"its record key has {was} = {one!r:.60}, and would have {now} = {other!r:.60}"


RULES: Final = (
    Rule(
        "MIGRATION",
        "events of the earlier line can be read as events of this one",
        _CONTRACT,
        Scope.DECLARATION,
        migration,
    ),
)
