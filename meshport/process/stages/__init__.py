"""Stages: what a processor does with one partition of its input, or of its repartition topic."""
