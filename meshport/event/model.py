"""Events whose data are objects of pydantic models: of classes that `meshport generate` writes, or of a service's own.

A class of `meshport generate` is an `EventModel`. It has the schema that it was made of, so that its objects are what it says
whatever schema an event was written with: a reader resolves each record to it (Avro's schema resolution).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from meshport.errors import DecodeError, EncodeError
from meshport.event.event import Event
from meshport.event.headers import RawHeaders
from meshport.event.reading import ReaderSchemas
from meshport.schema import Schema, parse_schema

__all__ = ["EventModel", "Read", "Record", "as_model", "model_schema", "plain_record"]

Record = Mapping[str, Any] | BaseModel
"""The data of an event as it is published: a mapping, or an object of a pydantic model with the same fields."""

Reader = TypeVar("Reader", Schema | None, Schema | ReaderSchemas | None)
"""What a caller may ask to have records resolved to."""

_SHOWN: Final = 3


class EventModel(BaseModel):
    """The base of the classes that `meshport generate` writes.

    Values are those of the codec and are not converted: a text is no date, a whole number no instant. Objects are immutable, and
    a field that the contract does not have is refused.

    Attributes:
        __avro_schema__: the Avro schema of the class, with its references inlined; "" for a class that has none of its own.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", populate_by_name=True)

    __avro_schema__: ClassVar[str] = ""


class Read(Protocol):
    """Reads one Kafka message, as `EventReader.read` does."""

    def __call__(  # noqa: PLR0917 - as `EventReader.read`
        self,
        key: bytes | None,
        value: bytes | None,
        headers: RawHeaders | None,
        topic: str = "",
        partition: int = -1,
        offset: int = -1,
        timestamp_ms: int = -1,
        /,
    ) -> Event[Any]:
        """Return the event of a Kafka message."""


def model_schema(model: type[BaseModel] | None, reader: Reader) -> Schema | Reader:
    """Return the schema that records are resolved to for a model: the model's own, or else the given one.

    Args:
        model: the class of the events' data, if there is one.
        reader: the schema that a caller asks for, or one for each writer's; None where it asks for none.

    Raises:
        ValueError: both the model and the caller name one.
        SchemaError: the model's is no schema.
    """
    if model is None or not issubclass(model, EventModel) or not model.__avro_schema__:
        return reader
    if reader is not None:
        raise ValueError(f"`reader` is given, and {model.__name__} has a schema of its own")
    return parse_schema(model.__avro_schema__, source=f"the schema of {model.__name__}")


def as_model(read: Read, model: type[BaseModel] | None) -> Read:
    """Return a function that reads as another one does, and gives the data as objects of a model; None gives mappings.

    A tombstone keeps its data, None. The function raises DecodeError for a record that the model refuses.
    """
    if model is None:
        return read
    validate, name = model.model_validate, model.__name__

    def read_model(*message: Any) -> Event[Any]:
        event = read(*message)
        if event.data is not None:
            try:
                event.data = validate(event.data)
            except ValidationError as error:
                raise DecodeError(f"the event {event.id} is no {name}: {_misfits(error)}") from None
        return event

    return read_model


def plain_record(record: Record) -> Mapping[str, Any]:
    """Return the fields of a record as a mapping; a mapping is returned as it is.

    Raises:
        EncodeError: pydantic cannot write the object.
    """
    if isinstance(record, BaseModel):
        try:
            return record.model_dump(by_alias=True)
        except ValueError as error:
            raise EncodeError(f"the {type(record).__name__} cannot be written: {error}") from error
    return record


def _misfits(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{'.'.join(map(str, each['loc'])) or 'the record'}: {each['msg']}" for each in found[:_SHOWN]]
    return "; ".join(shown + ([f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []))
