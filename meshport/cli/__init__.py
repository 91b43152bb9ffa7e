"""The command line: every verb of the mesh. stdout is data, stderr is for people."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from meshport import __version__
from meshport.cli import applying, demo, gate, mesh, project, publish, read, rebuild, redrive, run, up
from meshport.cli.output import INTERRUPTED, exit_code, say
from meshport.errors import MeshError

app = typer.Typer(
    name="meshport",
    help="Data products with an address, a contract, a Kafka output port and a replayable past.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for verb in (
    project.init,
    project.new,
    applying.check,
    applying.apply,
    up.up,
    demo.demo,
    run.run,
    publish.publish,
    read.tail,
    read.replay,
    read.quarantine,
    rebuild.rebuild,
    rebuild.generations,
    redrive.redrive,
    mesh.resolve,
    mesh.search,
    mesh.readers,
):
    app.command()(verb)
app.add_typer(gate.gate_app, name="gate")
app.add_typer(mesh.registry_app, name="registry")


def _version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"meshport {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    _version_asked: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")


def main() -> None:
    """Run the command line and exit with 0, or with a code of `meshport.cli.output`."""
    try:
        app()
    except MeshError as error:
        say(f"error: {error}")
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
