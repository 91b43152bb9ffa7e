"""`meshport mcp`: the mesh for assistants, over stdio."""

from __future__ import annotations

from functools import cache

from meshport.cli.session import KafkaConfigOption, RegistryOption, open_clusters, open_registry
from meshport.errors import ProjectError
from meshport.mcp.tools import MeshTools


def mcp(registry: RegistryOption = None, kafka_config: KafkaConfigOption = None) -> None:
    """Serve the mesh to an assistant by the Model Context Protocol, over stdin and stdout.

    An assistant starts this command and gets the tools search, describe, sample and gate. They only read, with the logins at the
    registry and at Kafka that this command has.

    Example: meshport mcp --registry https://registry.example.com
    """
    try:
        from meshport.mcp.server import mesh_server  # noqa: PLC0415 - needs the extra
    except ModuleNotFoundError as error:
        raise ProjectError(
            f"meshport mcp needs the package {error.name}", hint="pip install 'meshport[mcp]'"
        ) from error

    with open_registry(registry) as mesh:
        tools = MeshTools(mesh, cache(lambda: open_clusters(kafka_config, registry=registry)))
        mesh_server(tools).run("stdio")
