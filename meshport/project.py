"""A mesh project: a folder with `producers/`, `processors/` and `schemas/`, ours or a user's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from meshport.address import Address, nearest
from meshport.errors import DescriptorError, MeshError, ProjectError
from meshport.product import Archetype, OutputPort, Product, line_of, load_product
from meshport.schema import CommonTypes, Schema, load_common, load_schema

FOLDERS: Final = ("producers", "processors", "schemas")


@dataclass(frozen=True)
class ProjectProduct:
    """One product of a project.

    Attributes:
        product: its descriptor.
        folder: where its product.yaml lies; the files that it names are relative to it.
        schemas: the contract of each output port, by (port, major).
    """

    product: Product
    folder: Path
    schemas: dict[tuple[str, int], Schema]

    @property
    def descriptor_file(self) -> Path:
        """The product.yaml itself."""
        return self.folder / "product.yaml"

    def schema(self, port: OutputPort) -> Schema:
        """The contract of one of the product's ports."""
        return self.schemas[port.name, port.major]


@dataclass(frozen=True)
class Project:
    """A mesh project on disk.

    Attributes:
        root: its folder.
    """

    root: Path

    @classmethod
    def find(cls, start: Path) -> Project:
        """The project that `start` stands in: the nearest folder upwards that has the three folders.

        Raises:
            ProjectError: there is none.
        """
        for folder in (start.resolve(), *start.resolve().parents):
            if all((folder / name).is_dir() for name in FOLDERS):
                return cls(folder)
        raise ProjectError(
            f"{start.resolve()} stands in no mesh project: no folder above it has {', '.join(FOLDERS)}",
            hint="`meshport init` makes one here",
        )

    @cached_property
    def common(self) -> CommonTypes:
        """The types of `schemas/common/`."""
        return load_common(self.root / "schemas" / "common")

    @cached_property
    def products(self) -> tuple[ProjectProduct, ...]:
        """Every product, sources first and each before its readers where that can be.

        Raises:
            DescriptorError, SchemaError: one cannot be read; all that are wrong are named.
            ProjectError: two products share an address or an id.
        """
        wrong: list[MeshError] = []
        found: list[ProjectProduct] = []
        for file in self._descriptor_files():
            try:
                found.append(self._load(file))
            except MeshError as error:
                wrong.append(error)
        if len(wrong) == 1:
            raise wrong[0]
        if wrong:
            raise ProjectError(f"{len(wrong)} products cannot be read:\n" + "\n".join(str(error) for error in wrong))
        for what in ("address", "id"):
            known: dict[object, Path] = {}
            for each in found:
                value = getattr(each.product, what)
                if value in known:
                    raise ProjectError(f"the {what} {value} is given to both {known[value]} and {each.descriptor_file}")
                known[value] = each.descriptor_file
        return tuple(_readers_last(found))

    def product(self, address: Address) -> ProjectProduct:
        """The project's product of that address.

        Raises:
            ProjectError: the project has none.
        """
        for each in self.products:
            if each.product.address == address.of_product:
                return each
        known = [each.product.address.key for each in self.products]
        near = nearest(address.of_product.key, known)
        raise ProjectError(
            f"{self.root} has no product {address.of_product}",
            hint=f"did you mean {near}?" if near else f"it has {', '.join(known) or 'no product yet: `meshport new`'}",
        )

    def schema_file(self, product: Product, port: OutputPort) -> Path:
        """Where a port's contract lies: the path mirrors the address, unless the descriptor says otherwise."""
        if port.schema_file:
            return self.root / port.schema_file
        major = f".v{port.major}" if port.major > 1 else ""
        return self.root / "schemas" / product.address.domain / f"{product.address.product}.{port.name}{major}.avsc"

    def product_folder(self, product: Product) -> Path:
        """Where a product's descriptor belongs."""
        kind = "producers" if product.archetype is Archetype.SOURCE_ALIGNED else "processors"
        return self.root / kind / product.address.domain / product.address.product

    def _descriptor_files(self) -> Iterator[Path]:
        for name in ("producers", "processors"):
            yield from sorted((self.root / name).glob("*/*/product.yaml"))

    def _load(self, file: Path) -> ProjectProduct:
        product = load_product(file)
        place = f"{product.address.domain}/{product.address.product}"
        if file.parent.relative_to(file.parents[2]).as_posix() != place:
            raise DescriptorError(
                f"the address {product.address} does not belong in {file.parent}",
                file=str(file),
                line=line_of(file, "address"),
                hint=f"move it to .../{place}/",
            )
        schemas = {}
        for port in product.output_ports:
            schema = load_schema(self.schema_file(product, port), common=self.common)
            _check_fields(product, port, schema, file)
            schemas[port.name, port.major] = schema
        return ProjectProduct(product, file.parent, schemas)


def _check_fields(product: Product, port: OutputPort, schema: Schema, file: Path) -> None:
    names = list(schema.field_names)
    asked = [("key", name) for name in port.key_fields] + ([("time", port.time)] if port.time else [])
    for what, name in asked:
        if name not in names:
            near = nearest(name, names)
            raise DescriptorError(
                f"the {what} of port {port.name!r} is {name!r}, which the schema of {product.address} does not have",
                file=str(file),
                line=line_of(file, "outputPorts", product.output_ports.index(port), what),
                hint=f"did you mean {near!r}?" if near else f"its fields: {', '.join(names)}",
            )


def _readers_last(products: list[ProjectProduct]) -> list[ProjectProduct]:
    """Products in an order in which each comes after what it reads; a cycle keeps the order of its files."""
    waiting = sorted(products, key=lambda each: each.product.archetype is not Archetype.SOURCE_ALIGNED)
    here = {each.product.address for each in waiting}
    done: set[Address] = set()
    ordered: list[ProjectProduct] = []
    while waiting:
        ready = [
            each
            for each in waiting
            if all(
                port.address.of_product in done or port.address.of_product not in here
                for port in each.product.input_ports
            )
        ] or waiting[:1]
        ordered += ready
        done |= {each.product.address for each in ready}
        waiting = [each for each in waiting if each not in ready]
    return ordered
