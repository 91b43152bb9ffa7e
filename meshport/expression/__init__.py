"""Expressions: a small, safe part of Python's grammar that computes a value of a record, with the types of its values."""
