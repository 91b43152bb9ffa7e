"""Fields within records, where an operator names a field: `by: [team.id]`, `sum(shot.xg)`, `on: shot.team.id`.

Such an operator is lowered to operators on the fields of the record itself, so that state, columns and messages know only
those. A `Derive` before it adds a field of the path's name (`shot.xg`, which no schema can have), null where a record on the
way is null, and an operator after it drops that field, or gives it the last name of its path (`xg`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from meshport.expression.expression import Expression
from meshport.process.logic.operators import (
    Aggregate,
    Apply,
    Deduplicate,
    Derive,
    Drop,
    Flatten,
    Grouping,
    Join,
    JoinStream,
    Operator,
    Rename,
    Select,
)
from meshport.product.field_path import is_nested, last_name


def lowered(operators: Iterable[Operator]) -> tuple[Operator, ...]:
    """Return operators that do the same, and name only fields of the record itself."""
    return tuple(each for operator in operators for each in _lowered(operator))


def lowered_before(grouping: Grouping | None) -> tuple[Operator, ...]:
    """Return what is applied before a grouping so that it finds the fields within records that it names."""
    match grouping:
        case Aggregate():
            return _hoisted((*grouping.by, *grouping.inputs))
        case Apply() | JoinStream():
            return _hoisted(grouping.by)
    return ()


def lowered_after(grouping: Grouping | None) -> tuple[Operator, ...]:
    """Return what is applied after a grouping for the fields within records that are its key."""
    paths = _nested(()) if grouping is None or isinstance(grouping, Apply) else _nested(grouping.by)
    if not paths:
        return ()
    return (Drop(paths),) if isinstance(grouping, JoinStream) else (_named(paths),)


def taken(fields: Iterable[str]) -> tuple[Operator, ...]:
    """Return operators that keep these fields alone, those within records under their paths."""
    fields = tuple(dict.fromkeys(fields))
    return (*_hoisted(fields), Select(fields))


def path_expression(path: str) -> Expression:
    """Return the expression of a field's path."""
    return Expression(".".join(f"`{name}`" for name in path.split(".")))


def _lowered(operator: Operator) -> Iterator[Operator]:
    match operator:
        case Select(fields) if paths := _nested(fields):
            yield from (*_hoisted(paths), operator, _named(paths))
        case Flatten(str(items)) if paths := _nested((items,)):
            yield from (*_hoisted(paths), operator, _named(paths))
        case Deduplicate(by=by) if paths := _nested(by):
            yield from (*_hoisted(paths), operator, Drop(paths))
        case Join():
            yield from _lowered_join(operator)
        case _:
            yield operator


def _lowered_join(join: Join) -> Iterator[Operator]:
    paths = {name: path for name, path in join.take.items() if is_nested(path)}
    # `·` may stand in a name of an expression, and in none of a schema.
    roots = {path.partition(".")[0]: f"row·{path.partition('.')[0]}" for path in paths.values()}
    take = {name: path for name, path in join.take.items() if name not in paths}
    take |= {name: root for root, name in roots.items()}
    yield from _hoisted((join.on,))
    yield Join(join.table, join.on, take, join.missing)
    if paths:
        inner = {name: path.partition(".") for name, path in paths.items()}
        yield Derive({name: path_expression(f"{roots[root]}.{rest}") for name, (root, _, rest) in inner.items()})
    if dropped := (*roots.values(), *_nested((join.on,))):
        yield Drop(dropped)


def _nested(paths: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(path for path in paths if is_nested(path)))


def _hoisted(paths: Iterable[str]) -> tuple[Operator, ...]:
    found = _nested(paths)
    return (Derive({path: path_expression(path) for path in found}),) if found else ()


def _named(paths: Iterable[str]) -> Rename:
    return Rename({path: last_name(path) for path in paths})
