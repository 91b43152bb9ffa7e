"""The command line: every verb of the mesh. stdout is data, stderr is for people."""

from __future__ import annotations

import importlib
import os
import re
import sys
from typing import Annotated, Any, Final, NamedTuple

import typer
from typer._click.exceptions import ClickException  # typer has its own copy of click, and exports no base of its errors
from typer.core import TyperCommand, TyperGroup

from meshport.cli.failure import asks_for_json, report_error, report_usage
from meshport.cli.log_lines import VARIABLE, LineForm
from meshport.cli.output import INTERRUPTED, say, write_lines_as
from meshport.cli.registry_files import add_registry_files
from meshport.cli.signals import interrupt_on_signal
from meshport.errors import MeshError
from meshport.version import __version__

# A user and a password in a URL; not `${file:PATH}` and the like, which refer to one.
_PASSWORD: Final = re.compile(r"://[^/@:]*:(?!\$\{)[^/@]+@|://.*[?&]password=(?!\$\{)")


class _Verb(NamedTuple):
    """A command: where its function or group is, as `module:name`, and the first line of its help."""

    home: str
    summary: str


# The module of a command is imported when the command is called, so that none waits for the imports of the others.
VERBS: Final = {
    "init": _Verb("project:init", "Create a mesh project: producers/, processors/, schemas/."),
    "new": _Verb("project:new", "Write a product's descriptor and contract into this project, or its next major line."),
    "check": _Verb("applying:check", "Check every descriptor, contract and process of this project."),
    "apply": _Verb("applying:apply", "Register this project's products and create their topics; nothing is deleted."),
    "up": _Verb("up:up", "Run Kafka, the registry, an observer and this project's processors and sources, until interrupted."),
    "demo": _Verb("demo:demo", "Run this project with its own sources, show live figures, and recount every derived product."),
    "recount": _Verb("recount:recount", "Compare derived products with a separate computation over the source events."),
    "run": _Verb("run:run", "Run the processor of a derived product, or the sources of others, until interrupted."),
    "publish": _Verb("publish:publish", "Publish the records of a file; columns are mapped to the schema's fields by name."),
    "outbox": _Verb("outbox:outbox_app", "The outbox of a service's database."),
    "relay": _Verb("relay:relay_app", "Publish the outbox of a service's database, until interrupted."),
    "tail": _Verb("read:tail", "Show the events of a port as they arrive."),
    "replay": _Verb("replays:replay_app", "Replay part of a port's history, by event time or by offset."),
    "archive": _Verb("archive:archive_app", "Keep the events of ports for ever in Iceberg tables, and restore topics from them."),
    "query": _Verb("query:query", "Ask a port's past by SQL: what had happened by a time, as it was known by a time."),
    "quarantine": _Verb("read:quarantine", "Show the events that a processor or a group quarantined, each with the reason."),
    "lag": _Verb("lag:lag", "Show how far consumer groups are behind: in events, and in time."),
    "observe": _Verb("observe:observe", "Measure how ports keep their promises, watch processors, and report both."),
    "rebuild": _Verb("rebuild:rebuild", "Build a derived product again from history, and compare it with the live one."),
    "generations": _Verb("rebuild:generations", "List the generations of a port: bound, being built, kept or retired."),
    "redrive": _Verb("redrive:redrive", "Bring quarantined events back to their processor, after the cause was fixed."),
    "resolve": _Verb("mesh:resolve", "Show the binding of an address: its topic, cluster, key and schema."),
    "search": _Verb("mesh:search", "List the mesh's data products."),
    "catalog": _Verb("catalog:catalog", "Open the mesh's data products as pages in the browser."),
    "readers": _Verb("mesh:readers", "List who reads a port, declared or not, and when it was seen last."),
    "json-schema": _Verb("mesh:json_schema", "Print the JSON Schema of product.yaml, for editors."),
    "lineage": _Verb("mesh:lineage", "List the products upstream and downstream of a product."),
    "generate": _Verb("generate:generate", "Write a typed client of a port as source code: types, a publisher, a subscriber."),
    "mcp": _Verb("mcp:mcp", "Serve the mesh to an assistant by the Model Context Protocol, over stdin and stdout."),
    "schema": _Verb("mesh:schema", "Print the Avro schema of a port's contract, complete: shared types are spelled out."),
    "export": _Verb("export:export", "Write the mesh or one product as a document that other tools read."),
    "import": _Verb("import_contract:import_contract", "Write a product into this project from its ODCS contracts."),
    "deprecate": _Verb("lifecycle:deprecate", "Announce the end of a product, with a day and a successor, or take that back."),
    "retire": _Verb("lifecycle:retire", "Retire a product, or one major line of it, for good, once its readers have left."),
    "drop": _Verb("lifecycle:drop", "Remove an unused product from the registry, and delete its topics."),
    "adopt": _Verb("adopt:adopt", "Write a product for a topic that is there already; the topic is only read."),
    "dashboards": _Verb("dashboards:dashboards", "Write alerts and dashboards, from what products promise."),
    "doctor": _Verb("doctor:doctor", "Find what is wrong between this shell, the registry, the cluster and the project."),
    "audit": _Verb("audit:audit", "Show who changed what in the registry, and which calls were refused."),
    "access": _Verb("access:access_app", "Who reads what: requests, grants, and the ACLs that follow at Kafka."),
    "glossary": _Verb("glossary:glossary", "Show what terms and polysemes mean, who owns them, and where they are used."),
    "counts": _Verb("counts:counts_app", "A source's own counts of its events, by which completeness is measured."),
    "problems": _Verb("problems:problems_app", "Problem reports on products: opened by readers, answered and closed by owners."),
    "login": _Verb("login:login", "Log in to a registry, and keep the login for the commands of this user."),
    "logout": _Verb("login:logout", "Forget the login of a registry, and end it at its OpenID provider."),
    "gate": _Verb("gate:gate_app", "Whether a change of a contract breaks a reader."),
    "policy": _Verb("policy:policy_app", "Policies: who may do what."),
    "registry": _Verb("registry:registry_app", "The registry service."),
}  # fmt: skip


class _Verbs(TyperGroup):
    """The group of all commands; it lists them without importing any."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {name: TyperCommand(name=name, help=verb.summary) for name, verb in VERBS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Import the command that the arguments name."""
        name, listed, rest = super().resolve_command(ctx, args)
        return name, listed if name is None else load_verb(name), rest


def load_verb(name: str) -> Any:
    """Return a command or a group of commands, its module imported."""
    verb = VERBS[name]
    module, _, attribute = verb.home.partition(":")
    found = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    command: Any
    if isinstance(found, typer.Typer):
        command = typer.main.get_group(found)
    else:
        alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        alone.command(name)(found)
        command = typer.main.get_command(alone)
    command.name = name
    add_registry_files(command)
    return command


app = typer.Typer(
    name="meshport",
    cls=_Verbs,
    help="Data products with an address, a contract, a Kafka output port and a replayable past.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"meshport {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    log_format: Annotated[
        LineForm, typer.Option("--log-format", envvar=VARIABLE, help="The lines of stderr: for people, or JSON.")
    ] = LineForm.TEXT,
) -> None:
    write_lines_as(log_format)
    if log_format is not LineForm.TEXT:
        os.environ[VARIABLE] = log_format  # of the processes that this one starts


def main() -> None:
    """Run the command line and exit with 0, or with a code of `meshport.cli.output`.

    With `--json` an error is one JSON object, the last line of stderr; stdout has data only.
    """
    if os.getpid() == 1:  # in a container: Linux drops the signals that the first process has no handler for
        interrupt_on_signal()
    json = asks_for_json(sys.argv[1:])
    if any(_PASSWORD.search(each) for each in sys.argv[1:]):
        say("warning: all users of this machine can read the password on this command line; variables can have it")
    try:
        sys.exit(app(prog_name="meshport", standalone_mode=not json))
    except ClickException as error:  # without `--json`, typer draws it
        sys.exit(report_usage(error.format_message()))
    except MeshError as error:
        sys.exit(report_error(error, json=json))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
