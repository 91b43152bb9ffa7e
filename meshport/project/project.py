"""A mesh project: a folder with `producers/`, `processors/` and `schemas/`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final, Protocol

from meshport.address import Address, nearest
from meshport.errors import DescriptorError, MeshError, ProjectError, SchemaError
from meshport.event.level_fields import level_misfits
from meshport.event.port_fields import misfits
from meshport.product import Archetype, OutputPort, Product, parse_product
from meshport.product.load import line_in
from meshport.schema import CommonTypes, Schema, parse_common, parse_schema

FOLDERS: Final = ("producers", "processors", "schemas")
DESCRIPTORS: Final = ("producers/*/*/product.yaml", "processors/*/*/product.yaml")
COMMON: Final = "schemas/common/*.avsc"


class Files(Protocol):
    """The files of a project, in its folder or in a revision of it; paths are relative to the project, with slashes."""

    def matching(self, pattern: str) -> list[str]:
        """Return the paths that match a pattern, sorted; `*` matches any characters except a slash."""

    def text(self, path: str) -> str:
        """Return the text of a file.

        Raises:
            OSError, UnicodeDecodeError: it cannot be read.
        """

    def called(self, path: str) -> str:
        """Return the name of a file in error messages."""


@dataclass(frozen=True)
class Folder:
    """The files of a folder on disk.

    Attributes:
        root: the folder.
    """

    root: Path

    def matching(self, pattern: str) -> list[str]:
        """See `Files`."""
        found = (file.relative_to(self.root).as_posix() for file in self.root.glob(pattern))
        return sorted(found, key=lambda path: path.split("/"))

    def text(self, path: str) -> str:
        """See `Files`."""
        return (self.root / path).read_text(encoding="utf-8")

    def called(self, path: str) -> str:
        """See `Files`."""
        return str(self.root / path)


@dataclass(frozen=True)
class ProjectProduct:
    """One product of a project.

    Attributes:
        product: its descriptor.
        folder: of its product.yaml; the files that the descriptor names are relative to it.
        schemas: the contract of each output port, by (port, major).
    """

    product: Product
    folder: Path
    schemas: dict[tuple[str, int], Schema]

    @property
    def descriptor_file(self) -> Path:
        """The product.yaml."""
        return self.folder / "product.yaml"

    def schema(self, port: OutputPort) -> Schema:
        """Return the contract of one of the product's ports."""
        return self.schemas[port.name, port.major]


@dataclass(frozen=True)
class Project:
    """A mesh project.

    Attributes:
        root: its folder.
        at: the files to read; None for the folder as it is.
    """

    root: Path
    at: Files | None = None

    @classmethod
    def find(cls, start: Path) -> Project:
        """Return the project around `start`: the nearest folder, from `start` upwards, that has the three folders.

        Raises:
            ProjectError: there is none.
        """
        for folder in (start.resolve(), *start.resolve().parents):
            if all((folder / name).is_dir() for name in FOLDERS):
                return cls(folder)
        raise ProjectError(
            f"{start.resolve()} stands in no mesh project: no folder above it has {', '.join(FOLDERS)}",
            file=str(start.resolve()),
            hint="`meshport init` makes one here",
        )

    @property
    def files(self) -> Files:
        """The files that the project is read from."""
        return self.at or Folder(self.root)

    @cached_property
    def common(self) -> CommonTypes:
        """The types of `schemas/common/`."""
        return parse_common((self.files.called(path), self._schema_text(path)) for path in self.files.matching(COMMON))

    @cached_property
    def products(self) -> tuple[ProjectProduct, ...]:
        """Every product, sources first and each before its readers, unless products read each other.

        Raises:
            DescriptorError, SchemaError: a product cannot be read.
            ProjectError: several products cannot be read; the message has the error of each.
            ProjectError: two products share an address or an id.
        """
        wrong: list[MeshError] = []
        found: list[ProjectProduct] = []
        for pattern in DESCRIPTORS:
            for path in self.files.matching(pattern):
                try:
                    found.append(self._load(path))
                except MeshError as error:
                    wrong.append(error)
        refuse(wrong)
        for what in ("address", "id"):
            known: dict[object, Path] = {}
            for each in found:
                value = getattr(each.product, what)
                if value in known:
                    raise ProjectError(f"the {what} {value} is given to both {known[value]} and {each.descriptor_file}")
                known[value] = each.descriptor_file
        return tuple(_readers_last(found))

    def product(self, address: Address) -> ProjectProduct:
        """Return the product of an address; its port and major are ignored.

        Raises:
            ProjectError: the project has no such product.
        """
        for each in self.products:
            if each.product.address == address.of_product:
                return each
        known = [each.product.address.key for each in self.products]
        near = nearest(address.of_product.key, known)
        raise ProjectError(
            f"{self.root} has no product {address.of_product}",
            file=str(self.root),
            hint=f"did you mean {near}?" if near else f"it has {', '.join(known) or 'no product yet: `meshport new`'}",
        )

    @cached_property
    def descriptors(self) -> Mapping[str, str]:
        """The path of each product's descriptor, by `<domain>/<product>`, without reading any.

        Raises:
            ProjectError: two descriptors have the same address.
        """
        found: dict[str, str] = {}
        for pattern in DESCRIPTORS:
            for path in self.files.matching(pattern):
                key = path.partition("/")[2].removesuffix("/product.yaml")
                if known := found.get(key):
                    raise ProjectError(
                        f"the address mesh://{key} is given to both {self.files.called(known)} "
                        f"and {self.files.called(path)}"
                    )
                found[key] = path
        return found

    @cached_property
    def texts(self) -> Mapping[str, str]:
        """The text of each descriptor, by its path, without parsing any.

        Raises:
            DescriptorError: one cannot be read.
        """
        return {path: self.descriptor_text(path) for path in self.descriptors.values()}

    def descriptor_text(self, path: str) -> str:
        """Return the text of a descriptor, by its path in the project.

        Raises:
            DescriptorError: it cannot be read.
        """
        try:
            return self.files.text(path)
        except (OSError, UnicodeDecodeError) as error:
            raise DescriptorError(f"cannot be read: {error}", file=self.files.called(path)) from error

    def descriptor(self, path: str) -> Product:
        """Return a parsed descriptor, by its path in the project, with the schema of its state but without its contracts.

        Raises:
            DescriptorError: it cannot be read, its address belongs in another folder, or the schema of its state is
                invalid.
        """
        called = self.files.called(path)
        text = self.descriptor_text(path)
        try:
            product = _parsed(text)
        except DescriptorError:
            product = parse_product(text, file=called)  # raises the same error, with the file's name
        key = product.address.key
        folder, _, _ = path.rpartition("/")
        if folder.partition("/")[2] != key:
            raise DescriptorError(
                f"the address {product.address} does not belong in {self.files.called(folder)}",
                file=called,
                line=line_in(text, "address"),
                hint=f"move it to .../{key}/",
            )
        return self._with_state(product, path)

    def contract(self, product: Product, port: OutputPort, descriptor: str) -> Schema:
        """Return the contract of a port.

        Args:
            product: the product.
            port: the port.
            descriptor: the path of its product.yaml in the project.

        Raises:
            SchemaError: the schema cannot be read, or is invalid.
            DescriptorError: the port's key or time, or the field of a service level, is no field of it.
        """
        path = schema_path(product, port)
        schema = parse_schema(self._schema_text(path), common=self.common, source=self.files.called(path))
        self._check_fields(product, port, schema, descriptor)
        return schema

    def schema_file(self, product: Product, port: OutputPort) -> Path:
        """Return the file of a port's contract: `schemas/<domain>/<product>.<port>.avsc`, unless the descriptor names another."""
        return self.root / schema_path(product, port)

    def product_folder(self, product: Product) -> Path:
        """Return the folder of a product's descriptor."""
        kind = "producers" if product.archetype is Archetype.SOURCE_ALIGNED else "processors"
        return self.root / kind / product.address.domain / product.address.product

    def _load(self, path: str) -> ProjectProduct:
        product = self.descriptor(path)
        schemas = {(port.name, port.major): self.contract(product, port, path) for port in product.output_ports}
        return ProjectProduct(product, (self.root / path).parent, schemas)

    def _with_state(self, product: Product, descriptor: str) -> Product:
        """Return the descriptor with the text of its state's schema instead of the file: a registry has no files."""
        process = product.process
        applied = process.applied if process else None
        if process is None or applied is None or applied.state is None:
            return product
        path = applied.state if applied.state.endswith(".avsc") else None
        called = self.files.called(path or descriptor)
        try:
            text = applied.state if path is None else self._schema_text(path)
            schema = parse_schema(text, common=self.common, source=called)
        except SchemaError as error:
            index = next(at for at, step in enumerate(process.steps) if step.apply is not None)
            raise DescriptorError(
                f"the schema of the state: {error.message}",
                file=self.files.called(descriptor),
                line=line_in(self.descriptor_text(descriptor), "process", "steps", index, "apply", "state"),
                hint=error.hint,
            ) from error
        return product.model_copy(update={"process": process.with_state(schema.text)})

    def _schema_text(self, path: str) -> str:
        try:
            return self.files.text(path)
        except (OSError, UnicodeDecodeError) as error:
            raise SchemaError(f"{self.files.called(path)} cannot be read: {error}") from error

    def _check_fields(self, product: Product, port: OutputPort, schema: Schema, descriptor: str) -> None:
        for each in misfits(port, schema):
            index = product.output_ports.index(port)
            raise DescriptorError(
                f"port {port.name!r} of {product.address}: {each.message}",
                file=self.files.called(descriptor),
                line=line_in(self.descriptor_text(descriptor), "outputPorts", index, each.role),
                hint=each.hint,
            )
        for level in level_misfits(product, port, schema):
            raise DescriptorError(
                f"port {port.name!r} of {product.address}: {level.message}",
                file=self.files.called(descriptor),
                line=line_in(self.descriptor_text(descriptor), "slaProperties", level.index, "element"),
                hint=level.hint,
            )


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Product:
    """Parse a descriptor; cached, since parsing takes milliseconds and most are the same in two revisions of a project."""
    return parse_product(text)


def schema_path(product: Product, port: OutputPort) -> str:
    """Return the path of a port's contract in its project."""
    if port.schema_file:
        return port.schema_file
    major = f".v{port.major}" if port.major > 1 else ""
    return f"schemas/{product.address.domain}/{product.address.product}.{port.name}{major}.avsc"


def refuse(wrong: Sequence[MeshError]) -> None:
    """Raise the errors of some products, if there are any: a single one as it is, several as one ProjectError."""
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise ProjectError(f"{len(wrong)} products cannot be read:\n" + "\n".join(str(error) for error in wrong))


def _readers_last(products: list[ProjectProduct]) -> list[ProjectProduct]:
    """Return the products, each after those that it reads; products of a cycle keep the order of their files."""
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
