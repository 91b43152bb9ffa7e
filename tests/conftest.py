"""Fixtures of the whole suite."""

from tests.kafka_session import *  # noqa: F403 - pytest finds fixtures and hooks by their names here
from tests.mesh_session import in_memory_mesh as in_memory_mesh  # noqa: PLC0414 - as above
from tests.mesh_session import mesh as mesh  # noqa: PLC0414 - as above
