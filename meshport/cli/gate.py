"""`meshport gate`: whether a change of a contract breaks readers, which ones, why, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from meshport.address import Address
from meshport.catalog import Waiver, WaiverRequest
from meshport.cli import completion
from meshport.cli.arguments import fitting
from meshport.cli.output import FINDINGS, emit, emit_text, progress, say, table
from meshport.cli.peer import PeerCaOption, PeerCertificateOption, PeerKeyOption, PeerNetrcOption, open_peer, peer_login
from meshport.cli.read import AddressArgument
from meshport.cli.session import JsonOption, KafkaConfigOption, RegistryOption, open_clusters, open_registry
from meshport.compat import Case
from meshport.errors import GateError, NotRegistered, TopicError
from meshport.gate.before import PastSource
from meshport.gate.docket import Docket, docket
from meshport.gate.evidence import Evidence
from meshport.gate.joined import JoinedSource
from meshport.gate.lines import FindingLines
from meshport.gate.manual import explain as manual_of
from meshport.gate.manual import rule_named, rules_table
from meshport.gate.peer import PeerSource
from meshport.gate.proof import prove
from meshport.gate.render import RENDERINGS
from meshport.gate.render.text import WIDTH, styled
from meshport.gate.run import GateRun
from meshport.gate.sampling import EVERYTHING, Sample
from meshport.gate.sources import REGISTRY, parse_against
from meshport.gate.unused import UnusedPorts
from meshport.kafka.clusters import KafkaAccess
from meshport.project.project import Project
from meshport.registry import ConfluentSubjects, Registry
from meshport.rfc3339 import day

gate_app = typer.Typer(help="Whether a change of a contract breaks a reader.", no_args_is_help=True)


class VerdictFormat(StrEnum):
    """How the verdicts are written."""

    TEXT = "text"
    JSON = "json"
    GITHUB = "github"
    JUNIT = "junit"
    SARIF = "sarif"


@gate_app.command()
def check(
    addresses: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ADDRESS]...",
            help="Products or ports; by default every contract of the project.",
            autocompletion=completion.addresses,
        ),
    ] = None,
    against: Annotated[
        str,
        typer.Option(
            metavar="GITREF|registry|URL|FILE",
            help="What readers rely on: a git revision (offline), the registry, another one with Confluent's API, another "
            "checkout, product.yaml, schema (.avsc) or saved past (.json).",
        ),
    ] = REGISTRY,
    format_: Annotated[
        VerdictFormat, typer.Option("--format", help="How the verdicts are written.")
    ] = VerdictFormat.TEXT,
    json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    history: Annotated[
        bool, typer.Option("--history", help="Read the stored events with the candidate too; needs the registry.")
    ] = False,
    sample: Annotated[
        int | None,
        typer.Option(
            min=2,
            metavar="EVENTS",
            help="With --history: the maximum number of events of each partition; by default all.",
        ),
    ] = None,
    netrc: PeerNetrcOption = None,
    ca: PeerCaOption = None,
    certificate: PeerCertificateOption = None,
    key: PeerKeyOption = None,
    registry: RegistryOption = None,
    kafka_config: KafkaConfigOption = None,
) -> None:
    """Check contracts against what their readers rely on.

    The exit code is 0 if nothing breaks, 1 for findings, 2 for wrong input, 3 if the registry or Kafka did not answer.
    With --registry, its readers and waivers count for a comparison with a git revision, a file or another registry too.

    Examples:
        meshport gate check --against main
        meshport gate check shop/orders --history
        meshport gate check --against http://schema-registry:8081
    """
    if sample is not None and not history:
        raise typer.BadParameter("--sample needs --history", param_hint="--sample")
    project = Project.find(Path.cwd())
    named = [Address.parse(each) for each in addresses or ()]

    def peer(url: str) -> ConfluentSubjects:
        return open_peer(url, peer_login(url, netrc=netrc, ca=ca, certificate=certificate, key=key))

    with _source(against, project, registry, peer) as source:
        found = docket(project, named, source)
        today = datetime.now(UTC).date()
        lines = FindingLines(project)
        cases, notes = found.cases, found.notes
        if against == REGISTRY or registry is not None:
            with open_registry(registry) as mesh:
                unused = UnusedPorts(mesh, kafka=open_clusters(kafka_config, registry=registry))
                cases = unused.marked(cases, today)
                notes = (*notes, *unused.notes)
        verdicts = tuple(lines.of(case.verdict(today), case.product) for case in cases)
        if not isinstance(source, JoinedSource | PeerSource) and against != REGISTRY:
            notes = (*notes, "offline: waivers, and readers of other projects, are the registry's (--registry URL)")
        evidence = _evidence(found, sample, registry, kafka_config) if history else ()
        run = GateRun(source.describe(), verdicts, found.unchanged, notes, evidence)
    _show(run, VerdictFormat.JSON if json else format_)
    if not run.passes:
        raise typer.Exit(FINDINGS)


@contextmanager
def _source(
    against: str, project: Project, url: str | None, peer: Callable[[str], ConfluentSubjects]
) -> Iterator[PastSource]:
    with ExitStack() as opened:

        def client() -> Registry:
            return opened.enter_context(open_registry(url))

        source = parse_against(against, project, client, lambda named: opened.enter_context(peer(named)))
        yield JoinedSource(source, client()) if url is not None and against != REGISTRY else source


def _evidence(found: Docket, sample: int | None, url: str | None, kafka_config: Path | None) -> tuple[Evidence, ...]:
    cases = [case for case in found.cases if case.past is not None and case.after is not None]
    kafka = open_clusters(kafka_config, registry=url)
    wanted = EVERYTHING if sample is None else Sample(sample)
    with open_registry(url) as mesh:
        return tuple(_proof(case, mesh, wanted, kafka) for case in cases)


def _proof(case: Case, mesh: Registry, sample: Sample, kafka: KafkaAccess) -> Evidence:
    assert case.past is not None and case.after is not None  # noqa: S101, PT018 - chosen so
    try:
        binding = mesh.resolve(case.address)
    except NotRegistered as error:
        raise GateError(
            f"{case.address} has no stored events to look at: {error.message}",
            address=str(case.address),
            hint="check it without --history",
        ) from error
    try:
        with progress(f"reading {binding.topic}") as advance:
            return prove(
                binding,
                case.after.schema,
                mesh,
                versions=case.past.versions,
                sample=sample,
                progress=advance,
                kafka=kafka,
            )
    except TopicError as error:
        raise GateError(
            f"the stored events of {case.address} cannot be read: {error.message}",
            address=str(case.address),
            hint=error.hint,
        ) from error


def _show(run: GateRun, form: VerdictFormat) -> None:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if form is VerdictFormat.TEXT and console.is_terminal:
        console.print(styled(run, width=min(WIDTH, console.width)))
    else:
        emit_text(RENDERINGS[form](run))


def _rules_from(typed: str) -> list[str]:
    return [each.id for each in rules_table() if each.id.startswith(typed)]


@gate_app.command()
def rules(json: JsonOption = False) -> None:
    """List every rule: what it keeps, who would break without it, and the number of its fixtures.

    Example: meshport gate rules
    """
    rows = rules_table()
    for row in rows if json else ():
        emit(
            {"id": row.id, "severity": row.severity, "breaks": row.breaks, "purpose": row.purpose}
            | {"fixtures": {"breaking": row.breaking, "keeping": row.keeping}}
        )
    if not json:
        cells = [
            [row.id, row.severity, ", ".join(row.breaks), f"{len(row.breaking)}+{len(row.keeping)}", row.purpose]
            for row in rows
        ]
        table(["rule", "severity", "breaks", "fixtures", "purpose"], cells)
        say(
            f"{len(rows)} rules; fixtures: those that break + those that keep; `meshport gate explain RULE` prints a manual page"
        )


@gate_app.command()
def explain(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="The id of a rule.", autocompletion=_rules_from)],
    json: JsonOption = False,
) -> None:
    """Print the manual page of a rule: what it keeps, who breaks without it, what to do, and examples.

    Example: meshport gate explain DECIMAL_SCALE
    """
    if json:
        emit({"rule": rule_named(rule).id, "manual": manual_of(rule)})
    else:
        emit_text(manual_of(rule))


def _day(text: str) -> date:
    try:
        return day(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--until") from error


@gate_app.command()
def waive(
    address: AddressArgument,
    rule: Annotated[str, typer.Option(help="The rule that refuses the change.")],
    until: Annotated[str, typer.Option(metavar="DAY", help="The last day on which it holds, as 2026-12-31 (UTC).")],
    reason: Annotated[str, typer.Option(help="Why the change is necessary.")],
    approver: Annotated[
        str | None,
        typer.Option(help="The person who approves the change; at a registry that knows its callers it is the caller."),
    ] = None,
    at: Annotated[str, typer.Option(metavar="PATH", help="The field or key, as the finding names it.")] = "",
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Let one change of one port pass although a rule refuses it; every verdict shows the waiver until it expires.

    Example: meshport gate waive shop/orders/events@1 --rule TYPE_MISMATCH --at cents --approver "Ada" --until 2026-12-31
        --reason "its only reader has moved"
    """
    wanted = Address.parse(address)
    last = _day(until)
    with fitting(approver="--approver", reason="--reason"):
        asked = WaiverRequest(
            address=wanted, rule=rule_named(rule).id, path=at, approver=approver, reason=reason, until=last
        )
    with open_registry(registry) as mesh:
        binding = mesh.resolve(wanted)
        made = mesh.waivers.record(asked.model_copy(update={"address": binding.address}))
    _print_waiver(made, json)


@gate_app.command()
def waivers(
    address: Annotated[
        str | None, typer.Argument(metavar="[ADDRESS]", help="A product or port; by default the whole mesh.")
    ] = None,
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """List the waivers, newest first: those that hold, have expired or were revoked.

    Example: meshport gate waivers shop/orders
    """
    with open_registry(registry) as mesh:
        found = mesh.waivers.list(None if address is None else Address.parse(address))
    if not found and not json:
        say(f"no waiver of {address}" if address else "no waiver was ever recorded")
    for each in found:
        _print_waiver(each, json)


@gate_app.command()
def revoke(
    number: Annotated[int, typer.Argument(metavar="WAIVER", help="Its number.")],
    registry: RegistryOption = None,
    json: JsonOption = False,
) -> None:
    """Revoke a waiver; versions that were registered under it stay.

    Example: meshport gate revoke 3
    """
    with open_registry(registry) as mesh:
        _print_waiver(mesh.waivers.revoke(number), json)


def _print_waiver(waiver: Waiver, json: bool) -> None:
    if json:
        emit(waiver.model_dump(mode="json"))
        return
    if waiver.revoked_at is not None:
        state = f"taken back on {waiver.revoked_at:%Y-%m-%d}"
    else:
        over = not waiver.holds(datetime.now(UTC).date())
        state = f"{'was over after' if over else 'holds until'} {waiver.until}"
    at = f" at {waiver.path}" if waiver.path else ""
    emit_text(
        f"waiver {waiver.id}: {waiver.rule}{at} of {waiver.address.key} {state}, approved by {waiver.approver}: {waiver.reason}"
    )
