"""Metrics for Prometheus, and whether a long-running process is ready.

What is measured is defined by part (`ports`, `process`, `outbox`, `registry`, `rebuild`, `access`), as counters, gauges and
histograms of prometheus_client in its default registry: a service that exposes its own metrics exposes these as well. A
command serves them with `--metrics` (`server`). This is the only importer of prometheus_client, which takes 40 ms: import the
modules late.

Labels are bounded by what a mesh declares: addresses, topics, partitions, groups, outcomes, reasons. No label has a key, an id
or a message. Parts take a metric's child (`labels(...)`) once, and count whole batches.
"""
