"""Fixtures of the whole suite."""

from tests.kafka_session import *  # noqa: F403 - pytest finds fixtures and hooks by their names here
