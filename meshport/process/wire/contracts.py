"""The contracts that a processor reads its inputs into.

They are those that the plan was made with: a processor keeps them until it is started again. An event of any other version,
older or newer, is resolved to the fields that the process reads, so that no field that the process does not read can fail;
an event of the contract itself is read as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from meshport.address import Address
from meshport.binding import Binding
from meshport.compat.projection import project
from meshport.errors import EventError
from meshport.event import ContractReader, Event, EventReader, SchemaSource, reader_for
from meshport.process.logic.fields_read import FieldsRead, InputContract, fields_read
from meshport.process.logic.operators import Apply, JoinStream
from meshport.process.wire.calendar_reader import CalendarReader, calendar_finders
from meshport.process.wire.plan import COMPACT, Plan
from meshport.schema import Schema


def contract_readers(plan: Plan) -> dict[str, ContractReader]:
    """Return the schemas that the events of each input are resolved to, by topic; joined products included.

    A field that the contract got after the process was written, and that the output does not have, is not passed on.
    """
    bindings, read = _bindings(plan), _fields_read(plan)
    return {
        topic: _reader(plan, read, bindings[addresses[0]], addresses) for topic, addresses in _by_topic(plan).items()
    }


def event_readers(plan: Plan, schemas: SchemaSource) -> dict[str, EventReader | CalendarReader]:
    """Return the readers of a processor's inputs and joined products, by topic."""
    bindings, computed = _bindings(plan), _fields_read(plan).computed
    contracts = contract_readers(plan)
    readers: dict[str, EventReader | CalendarReader] = {}
    for topic, addresses in _by_topic(plan).items():
        contract = Schema(bindings[addresses[0]].schema_text)
        paths = dict.fromkeys(path for each in addresses for path in computed.get(each, ()))
        finders = calendar_finders(contract, paths)
        reader = reader_for(bindings[addresses[0]], schemas, contracts[topic])
        readers[topic] = CalendarReader(reader, finders) if finders else reader
    return readers


def computed_columns(plan: Plan, source: Binding) -> tuple[str, ...]:
    """Return the fields of an input that a process computes with; all of them where records become state or Python's."""
    if isinstance(plan.pipeline.grouping, Apply | JoinStream):
        return Schema(source.schema_text).field_names
    computed = _fields_read(plan).computed
    paths = (path for each, binding in _bindings(plan).items() if binding is source for path in computed.get(each, ()))
    return tuple(dict.fromkeys(path.partition(".")[0] for path in paths))


def _fields_read(plan: Plan) -> FieldsRead:
    contracts = {each: _contract(binding) for each, binding in _bindings(plan).items()}
    return fields_read(plan.pipeline, contracts, Schema(plan.output.schema_text).field_names)


def _by_topic(plan: Plan) -> dict[str, list[Address]]:
    by_topic: dict[str, list[Address]] = {}
    for address, binding in _bindings(plan).items():
        by_topic.setdefault(binding.topic, []).append(address)
    return by_topic


def missing_field(error: Exception, event: Event, plan: Plan) -> Exception:
    """Return the error of an event that lacks a field of its input's contract, in words; any other error as it is.

    The schema that the event was written with cannot give the field, and what needed it raised KeyError.
    """
    name = error.args[0] if type(error) is KeyError and error.args else None
    binding = next((each.binding for each in plan.sources if each.stage.topic == event.topic), None)
    if binding is None or not isinstance(event.data, Mapping) or name in event.data:
        return error
    if name not in Schema(binding.schema_text).field_names:
        return error
    return EventError(
        f"{event.topic}[{event.partition}]@{event.offset}: the event has no field {name!r} of {binding.address}: the schema "
        f"that it was written with ({event.data_schema or 'which the event does not name'}) cannot give it",
        hint=f"give {name!r} a default in the contract, and `meshport redrive` the event",
    )


def _reader(plan: Plan, read: FieldsRead, binding: Binding, addresses: list[Address]) -> ContractReader:
    contract = Schema(binding.schema_text)
    is_input = plan.pipeline.input in addresses
    surplus = read.surplus if is_input else ()
    if is_input and not read.complete:
        paths = tuple(name for name in contract.field_names if name not in surplus)
    else:
        paths = tuple(dict.fromkeys(path for each in addresses for path in read.paths[each]))
    return ContractReader(contract, project(contract, paths), always=bool(surplus))


def _bindings(plan: Plan) -> Mapping[Address, Binding]:
    streams = {} if plan.pipeline.stream is None or plan.stream is None else {plan.pipeline.stream: plan.stream}
    return {plan.pipeline.input: plan.source, **plan.tables, **streams}


def _contract(binding: Binding) -> InputContract:
    names = Schema(binding.schema_text).field_names
    return InputContract(names, binding.key, binding.time, binding.cleanup == COMPACT)
