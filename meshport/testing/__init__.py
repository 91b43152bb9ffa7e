"""Tests of a project's products in memory: no Kafka, no registry, no clock."""

from meshport.testing.processor import ProcessorTest

__all__ = ["ProcessorTest"]
