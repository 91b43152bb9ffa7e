"""The cases of one run: the contracts of a project, each with what its readers rely on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from meshport.address import SCHEME, Address, nearest
from meshport.compat.case import Case, with_migrated
from meshport.compat.judge import Past
from meshport.errors import AddressError, DescriptorError, MeshError, ProjectError, SchemaError
from meshport.gate.before import Before, Line, PastSource
from meshport.gate.inputs import wrong_inputs
from meshport.gate.touched import paths_by_id, port_count, product_with_id_in, readers_of, readings
from meshport.product import Product, Status
from meshport.project.project import Project, refuse
from meshport.schema import Schema

_LIFECYCLE: Final = tuple(Status)


@dataclass(frozen=True)
class Docket:
    """The cases of one run, and what was left out.

    Attributes:
        cases: by address.
        unchanged: the number of the project's contracts that are not judged, because none of their files differs.
        notes: what limits the comparison.
    """

    cases: tuple[Case, ...]
    unchanged: int
    notes: tuple[str, ...]


def docket(project: Project, addresses: Sequence[Address], source: PastSource) -> Docket:
    """Return the cases of a project, with both sides of each contract.

    Args:
        project: the candidates.
        addresses: the products or ports to judge; empty for every one that differs.
        source: what they are compared with.

    Raises:
        ProjectError: neither side has an address, or a product of the source cannot be read.
        DescriptorError, SchemaError: candidates are wrong in themselves; all of them are named.
        RegistryUnavailable: the registry did not answer.
    """
    named = list(addresses)
    if not named:
        differing = source.differing()
        named = [_product(key, project) for key in sorted(project.descriptors if differing is None else differing)]
    before = dict(source.before(named)) if named else {}
    keys = {address.of_product.key for address in named}
    if unknown := sorted(key for key in keys if key not in project.descriptors and key not in before):
        raise _nowhere(f"mesh://{unknown[0]}", {*project.descriptors, *source.known()}, project, source)
    for now, was in _moved(project, keys, before, source).items():
        before[now] = before[was]
        keys |= {now}
        keys -= {was} - project.descriptors.keys()
    cases = _cases(project, sorted(keys), before, source)
    notes = list(source.notes)
    for address in addresses:
        if any(_is_asked(case, address) for case in cases):
            continue
        if not _is_retired(before.get(address.of_product.key), address):
            of_product = [case.address.key for case in cases if case.address.of_product == address.of_product]
            raise _nowhere(str(address), of_product, project, source)
        notes.append(f"{address.key} is retired and gone; there is nothing to judge")
    if addresses:
        cases = [case for case in cases if any(_is_asked(case, address) for address in addresses)]
    rest = project.descriptors.keys() - keys if not addresses else set()
    unchanged = sum(port_count(project.texts[project.descriptors[key]]) for key in rest)
    return Docket(tuple(cases), unchanged, tuple(notes))


def _moved(project: Project, keys: Collection[str], before: dict[str, Before], source: PastSource) -> dict[str, str]:
    """Return the products that have another address under their id: the present address of each, and the earlier one.

    They are judged as the earlier product, as the registry does. The source's entry for the earlier address is added to
    `before`.
    """
    found: dict[str, str] = {}
    for key in sorted(keys):
        path = project.descriptors.get(key)
        if path is None and (id_ := before[key].id) is not None:
            now = product_with_id_in(project, id_, paths_by_id(project.texts))
            was: str | None = key
        elif path is not None and key not in before:
            try:
                now, was = key, source.product_with_id(project.descriptor(path).id)
            except DescriptorError:
                continue  # raised with all other errors
        else:
            continue
        if now is not None and was is not None and now not in before:
            before |= source.before([Address.parse(was)]) if was not in before else {}
            found |= {now: was} if was in before else {}
    return found


def _cases(project: Project, keys: Sequence[str], before: Mapping[str, Before], source: PastSource) -> list[Case]:
    """Return the cases of some products, by address; all errors of the candidates are raised at once."""
    if any(key in project.descriptors for key in keys):
        _ = project.common  # an error in it is raised once, and not for every contract
    wrong: list[MeshError] = []
    cases: list[Case] = []
    fresh: list[Case] = []
    for key in keys:
        try:
            found = list(with_migrated(_of_product(project, key, before.get(key))))
        except MeshError as error:
            wrong.append(error)
            continue
        wrong += wrong_inputs(project, [key], before, source)
        cases += found
        fresh += (each for each in found if each.past is None and each.after is not None)
    refuse(wrong)
    if fresh:
        read = readings({each.after.product.address.key for each in fresh if each.after}, project)
        new = {
            each.address: replace(each, readers=readers_of(each.after, read[each.after.product.address.key]))
            for each in fresh
            if each.after is not None
        }
        cases = [new.get(each.address, each) for each in cases]
    return sorted(cases, key=lambda each: each.address)


def _of_product(project: Project, key: str, before: Before | None) -> Iterator[Case]:
    pasts: Mapping[Line, Past] = before.pasts if before else {}
    path = project.descriptors.get(key)
    product = None if path is None else project.descriptor(path)
    declared: set[Line] = set()
    if product is not None and path is not None:
        contracts: dict[Line, Schema | SchemaError] = {}
        for port in product.output_ports:
            try:
                contracts[port.name, port.major] = project.contract(product, port, path)
            except SchemaError as error:
                if error.rule is None:
                    raise
                contracts[port.name, port.major] = error
        product = _lifecycle(product, before)
        for port in product.output_ports:
            line = (port.name, port.major)
            declared.add(line)
            yield Case.declared(product, port, contracts[line], pasts.get(line))
    for line, past in pasts.items():
        if line not in declared and before is not None and line not in before.retired:
            yield Case.removed(past, product)


def _lifecycle(product: Product, before: Before | None) -> Product:
    """Return a candidate as it would be registered: a descriptor cannot take back a status that the registry has advanced."""
    known = before.registered if before else None
    if known is None or _LIFECYCLE.index(known.status) <= _LIFECYCLE.index(product.status):
        return product
    kept = {"status": known.status, "deprecated_on": known.deprecated_on, "successor": known.successor}
    return product.model_copy(update=kept)


def _product(key: str, project: Project) -> Address:
    try:
        return Address.parse(key)
    except AddressError:
        if path := project.descriptors.get(key):
            project.descriptor(path)  # raises an error that names the folder and the address
        raise


def _is_asked(case: Case, asked: Address) -> bool:
    """Return whether a case belongs to a requested address: the port's, or the one that its product has now."""
    products = {case.address.of_product, case.product.address if case.product else None}
    return (
        asked.of_product in products
        and asked.port in {None, case.address.port}
        and asked.major in {None, case.address.major}
    )


def _is_retired(before: Before | None, asked: Address) -> bool:
    return any(
        asked.port in {None, name} and asked.major in {None, major}
        for name, major in (before.retired if before else ())
    )


def _nowhere(address: str, known: Collection[str], project: Project, source: PastSource) -> ProjectError:
    near = nearest(address.removeprefix(SCHEME), sorted(known))
    return ProjectError(
        f"neither {project.root} nor {source.describe()} has {address}",
        hint=f"did you mean {near}?" if near else f"known: {', '.join(sorted(known)) or 'nothing'}",
    )
