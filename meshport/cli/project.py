"""`meshport init` and `new`: a project on disk."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from meshport.address import Address
from meshport.cli.output import emit, say
from meshport.cli.record_files import (
    DelimiterOption,
    EncodingOption,
    FormatOption,
    NaOption,
    RenameOption,
    opened,
    reading_of,
)
from meshport.cli.session import JsonOption, RegistryOption, open_registry, resolve_at, running_mesh
from meshport.compat import Contract
from meshport.errors import ProjectError
from meshport.event.port_fields import misfits
from meshport.files.inference import infer_schema, record_name
from meshport.files.ingest import Reading
from meshport.gate.sources import RegistrySource, parse_against
from meshport.process.logic.declared_reads import ReadPort
from meshport.process.logic.fields_read import fields_read
from meshport.process.logic.load import operator_of
from meshport.process.logic.pipeline import Pipeline
from meshport.process.logic.shape import derive_schema
from meshport.product import AggregateStep, Archetype, DeclaredWindow, OutputPort, Processing, Step
from meshport.product.duration import parse_duration
from meshport.product.field_path import last_name
from meshport.product.lines import utc_today
from meshport.project.check import Contracts
from meshport.project.project import Project
from meshport.project.scaffold import Draft, NewLine, init_project, template_schema, write_line, write_product
from meshport.rfc3339 import day
from meshport.schema import Schema

# A schema is inferred from this many rows: more rarely change it, and all would be read twice.
_SAMPLE_ROWS = 100_000


@dataclass(frozen=True)
class _About:
    """The owner and the description of a new product."""

    owner: str
    description: str


def init(
    folder: Annotated[Path, typer.Argument(help="By default the current folder.")] = Path(), json: JsonOption = False
) -> None:
    """Create a mesh project: producers/, processors/, schemas/.

    Example: meshport init
    """
    made = init_project(folder)
    for each in made:
        say(f"made {each.relative_to(folder.resolve())}")
    say("a mesh project" if made else "a mesh project already; nothing to do")
    if json:
        emit({"folder": str(folder.resolve()), "made": [str(each) for each in made]})


def new(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="domain/product, lower-case words with hyphens.")],
    sample: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A .jsonl, .json, .csv or .tsv file, also .gz; the contract is inferred from its records. - for stdin.",
        ),
    ] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="FIELD", help="A field of the record key; repeat it for a composite key."),
    ] = None,
    time: Annotated[
        str | None, typer.Option(metavar="FIELD", help="The field that says when the fact happened.")
    ] = None,
    reads: Annotated[
        str | None, typer.Option("--from", metavar="ADDRESS", help="The product that this one is built from.")
    ] = None,
    where: Annotated[
        str | None, typer.Option(metavar="EXPRESSION", help="Keep only events for which this is true.")
    ] = None,
    by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD",
            help="A field to aggregate by, one within a record by its path (customer.id); repeat it for several.",
        ),
    ] = None,
    window: Annotated[
        str | None, typer.Option(metavar="1h | session:30m", help="The event-time window: tumbling, or sessions.")
    ] = None,
    value: Annotated[
        list[str] | None,
        typer.Option(
            "--value",
            metavar="FIELD=AGG(FIELD)",
            help="A value to compute: revenue=sum(cents), flights=count(); repeat it for several.",
        ),
    ] = None,
    archetype: Annotated[
        Archetype | None, typer.Option(help="By default source-aligned, or aggregate with --from.")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="The team that answers for it; by default you.")] = None,
    description: Annotated[str | None, typer.Option(help="One sentence.")] = None,
    major: Annotated[
        bool,
        typer.Option("--major", help="Write the next major line of an existing product."),
    ] = False,
    live_from: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="With --major: the day (UTC) from which readers that name no major read the new line; by default in 30 days.",
        ),
    ] = None,
    deprecate: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="With --major: the day by which readers should have left the old line; by default 60 days after that.",
        ),
    ] = None,
    form: FormatOption = None,
    encoding: EncodingOption = None,
    delimiter: DelimiterOption = None,
    rename: RenameOption = None,
    na: NaOption = None,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Write a product's descriptor and contract into this project, or its next major line.

    A new major line (--major) may break the readers of the old one. While both exist, a producer publishes to both, each
    by its own address: shop/orders/events@1 and shop/orders/events@2. Events published to shop/orders go to the live line.

    Examples:
        meshport new shop/orders --sample orders.jsonl --key customer --time ordered_at
        meshport new shop/revenue-by-customer --from shop/orders --by customer --window 1h
            --value "revenue=sum(cents)" --value "largest=max(cents)"
        meshport new shop/orders --major --live-from 2027-03-01 --deprecate 2027-06-01
    """
    project = Project.find(Path.cwd())
    product = Address.parse(address)
    if sample is None:
        reading = {"--format": form, "--encoding": encoding, "--delimiter": delimiter, "--rename": rename, "--na": na}
        if given := [flag for flag, value in reading.items() if value is not None]:
            raise typer.BadParameter("this says how a --sample is read, and none is given", param_hint=given[0])
    if major:
        flags = {
            "--sample": sample, "--key": key, "--time": time, "--from": reads, "--where": where, "--by": by,
            "--window": window, "--value": value, "--archetype": archetype, "--owner": owner,
            "--description": description,
        }  # fmt: skip
        if given := [flag for flag, value in flags.items() if value]:
            raise typer.BadParameter(
                "a new major begins as a copy of the line before it; edit its contract then", param_hint=given[0]
            )
        days = _day("--live-from", live_from), _day("--deprecate", deprecate)
        line = _new_line(project, product, *days, registry)
        if json:
            wrote = [line.descriptor, line.contract, *([line.restored] if line.restored else [])]
            emit({"address": str(line.address), "wrote": [str(each) for each in wrote]})
        return
    for flag, text in (("--live-from", live_from), ("--deprecate", deprecate)):
        if text is not None:
            raise typer.BadParameter("a new product has one line, which is live at once", param_hint=flag)
    about = _About(owner or getpass.getuser(), description or f"TODO: what {product.key} holds.")
    if reads is None:
        if by or window or value or where:
            raise typer.BadParameter(
                "--by, --window, --value and --where say how a product is built; name its input", param_hint="--from"
            )
        if archetype not in {None, Archetype.SOURCE_ALIGNED}:
            raise typer.BadParameter(
                f"an {archetype} product is built from others; name its input", param_hint="--from"
            )
        schema = (
            template_schema(product)
            if sample is None
            else _read_sample(product, sample, reading_of(sample, "--sample", form, encoding, delimiter, rename, na))
        )
        draft = Draft(
            address=product,
            archetype=archetype or Archetype.SOURCE_ALIGNED,
            schema=schema,
            key=tuple(key or ()),
            time=time or (None if sample else "happened_at"),
            owner=about.owner,
            description=about.description,
        )
    else:
        if sample is not None:
            raise typer.BadParameter("a derived product's contract follows from its input's", param_hint="--sample")
        if key or time:
            raise typer.BadParameter(
                "a derived product's key and time follow from how it is built",
                param_hint="--key" if key else "--time",
            )
        if archetype is Archetype.SOURCE_ALIGNED:
            raise typer.BadParameter("a source-aligned product is built from no other one", param_hint="--archetype")
        read = Contracts(project.products, resolve_at(registry)).find(Address.parse(reads))
        draft = _derived(read, product, Address.parse(reads), where, by or [], window, value or [], archetype, about)
    _check_fields(draft)
    written = write_product(project, draft)
    for file in written:
        say(f"wrote {file.relative_to(project.root)}")
    if json:
        emit({"address": str(product.of_product), "wrote": [str(each) for each in written]})


def _day(flag: str, text: str | None) -> date | None:
    try:
        return None if text is None else day(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=flag) from error


def _new_line(
    project: Project, address: Address, live_from: date | None, deprecated_on: date | None, registry: str | None
) -> NewLine:
    known = _known(project, address, registry)
    made = write_line(
        project, address, today=utc_today(), live_from=live_from, deprecated_on=deprecated_on, known=known
    )
    old, new, contract = made.old.key, made.address.key, made.contract.relative_to(project.root)
    if made.restored is None:
        say(f"wrote {contract}: a copy of {old}")
    else:
        say(f"wrote {contract}: the contract of {old} as you changed it")
        say(f"wrote {made.restored.relative_to(project.root)}: set back to what the readers of {old} know")
    say(
        f"wrote {made.descriptor.relative_to(project.root)}: {new} is live from {made.live_from} on, "
        f"{old} is to be left by {made.deprecated_on}"
    )
    if made.type:
        say(f"the events of {new} have the type {made.type}; give the line a `type` of its own, as the old one has")
    say("next:")
    say(f"  edit {contract}, then `meshport gate check` and `meshport apply`")
    product = project.product(address).product
    worker = "process" if product.process else "source" if product.source else None
    if worker is None:
        say(f"  publish to both, {old} and {new}, the same fact under the same event id, until {made.deprecated_on}")
    else:
        say(
            f"  its {worker} writes one line, that which is live when it starts: {old} until {made.live_from}; have the "
            f"{worker} that fits {new} ready on that day, and start it anew then"
        )
    say(
        f"  tell the readers: they move by naming {new}; those that name no major are led there from {made.live_from} on"
    )
    return made


def _known(project: Project, address: Address, registry: str | None) -> dict[tuple[str, int], Contract] | None:
    """Return the lines of a product as a registry knows them, else as git's HEAD has them; None where neither is there."""
    try:
        if registry is not None or running_mesh(project.root) is not None:
            with open_registry(registry) as mesh:
                found = RegistrySource(mesh).before([address.of_product])
        else:
            found = parse_against("HEAD", project, lambda: open_registry(None)).before([address.of_product])
    except ProjectError:  # no repository, or none with a commit
        return None
    before = found.get(address.of_product.key)
    return None if before is None else {line: past.contract for line, past in before.pasts.items()}


def _read_sample(address: Address, sample: str, reading: Reading) -> Schema:
    with opened(sample, reading) as file:
        rows = (row for _, row in zip(range(_SAMPLE_ROWS), file.rows(), strict=False))
        inferred = infer_schema(address, rows, reading.form)
        if unused := file.unused_names:
            raise typer.BadParameter(f"no record has the column {unused[0]!r}", param_hint="--rename")
    for note in inferred.notes:
        say(note)
    return inferred.schema


def _derived(
    read: ReadPort,
    address: Address,
    source: Address,
    where: str | None,
    by: list[str],
    window: str | None,
    values: list[str],
    archetype: Archetype | None,
    about: _About,
) -> Draft:
    schema = read.schema
    steps = [Step(filter=where)] if where else []
    if values:
        if not by:
            raise typer.BadParameter("an aggregate needs what it is aggregated by", param_hint="--by")
        steps.append(_aggregate(by, window, values))
    elif by or window:
        raise typer.BadParameter("an aggregate needs what is computed", param_hint="--value")
    if not steps:
        steps.append(Step(select=schema.field_names))
    processing = Processing(steps=tuple(steps))
    pipeline = Pipeline(source, tuple(operator_of(step) for step in processing.steps), processing.lateness)
    name, namespace = record_name(address)
    windowed = bool(values and window)
    return Draft(
        address=address,
        archetype=archetype or Archetype.AGGREGATE,
        schema=derive_schema(pipeline, f"{namespace}.{name}", schema, {}),
        key=(*map(last_name, by), *(("window_start",) if windowed else ())),
        time="window_start" if windowed else None if values else read.time,
        compacted=bool(values),
        inputs={source: fields_read(pipeline, {source: read.contract}).paths[source]},
        processing=processing,
        owner=about.owner,
        description=about.description,
    )


def _aggregate(by: list[str], window: str | None, values: list[str]) -> Step:
    named: dict[str, str] = {}
    for text in values:
        name, equals, aggregation = (part.strip() for part in text.partition("="))
        if not equals or not name:
            raise typer.BadParameter(f"{text!r} names no value; write revenue=sum(cents)", param_hint="--value")
        if name in named:
            raise typer.BadParameter(f"{name!r} is given twice", param_hint="--value")
        named[name] = aggregation
    windows = _window(window) if window else None
    try:
        return Step(aggregate=AggregateStep.model_validate({"by": by, "values": named, "window": windows}))
    except ValidationError as error:
        raise typer.BadParameter(_reason(error), param_hint="--value") from error


def _window(text: str) -> DeclaredWindow:
    kind, _, length = text.rpartition(":")
    if kind not in {"", "tumbling", "session"}:
        raise typer.BadParameter(f"{text!r} is no window; write 1h or session:30m", param_hint="--window")
    try:
        parsed = parse_duration(length)
        return DeclaredWindow(session=parsed) if kind == "session" else DeclaredWindow(tumbling=parsed)
    except ValidationError as error:
        raise typer.BadParameter(_reason(error), param_hint="--window") from error
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--window") from error


def _reason(error: ValidationError) -> str:
    return "; ".join(str(each["ctx"]["error"]) if "ctx" in each else each["msg"] for each in error.errors())


def _check_fields(draft: Draft) -> None:
    port = OutputPort(key=draft.key or None, time=draft.time)
    for each in misfits(port, draft.schema):
        raise typer.BadParameter(f"{each.message}; {each.hint}", param_hint=f"--{each.role}")
