"""The JSON Schema of product.yaml, for editors: completion, and what a key means on hover.

`product.schema.json` beside this module is written from the models (`make schema`) and is part of the package. What a key
means is its entry of `Attributes:` in the docstring of its model.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BaseModel, TypeAdapter

from meshport.product.descriptor import Product

SCHEMA_FILE: Final = Path(__file__).with_name("product.schema.json")
"""The file that the package ships."""

_ENTRY: Final = re.compile(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", re.MULTILINE)


def editor_schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of product.yaml."""
    schema = Product.model_json_schema()
    models = {model.__name__: model for model in descriptor_models()}
    for name, form in [(Product.__name__, schema), *schema.get("$defs", {}).items()]:
        if name in models:
            _describe(form, models[name])
        elif "description" in form:
            form["description"] = _summary(form["description"])
            form.pop("title", None)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Meshport data product",
    }


def schema_text() -> str:
    """Return the JSON Schema as the text of a file."""
    return json.dumps(editor_schema(), indent=2, ensure_ascii=False) + "\n"


def descriptor_models(model: type[BaseModel] = Product) -> list[type[BaseModel]]:
    """Return the model and all models within it, each once, in the order of their fields."""
    found: dict[type[BaseModel], None] = {model: None}
    for each in list(found):
        for field in each.model_fields.values():
            for inner in _models_in(field.annotation):
                found |= dict.fromkeys([inner, *descriptor_models(inner)])
    return list(found)


def key_descriptions(model: type[BaseModel]) -> dict[str, str]:
    """Return what each key of a model means, by the key as it is written in YAML; "" where nothing says it."""
    documented = {name: " ".join(text.split()) for name, text in _ENTRY.findall(inspect.getdoc(model) or "")}
    return {
        field.alias or name: documented.get(name) or field.description or ""
        for name, field in model.model_fields.items()
    }


def _describe(form: dict[str, Any], model: type[BaseModel]) -> None:
    form["description"] = _summary(inspect.getdoc(model) or "")
    form.pop("title", None)
    descriptions = key_descriptions(model)
    for key, value in form.get("properties", {}).items():
        value.pop("title", None)
        value["description"] = descriptions[key]
        field = next(each for name, each in model.model_fields.items() if key in {name, each.alias})
        if "default" in value:
            # As it is written in YAML: `1d`, and `forever` for no end.
            kind: Any = Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
            value["default"] = TypeAdapter(kind).dump_python(field.default, mode="json")


def _summary(doc: str) -> str:
    return " ".join(doc.partition("\n\n")[0].split())


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel) and not issubclass(annotation, Enum):
        yield annotation
    for each in getattr(annotation, "__args__", ()):
        yield from _models_in(each)
