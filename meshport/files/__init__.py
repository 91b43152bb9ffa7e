"""Reads files of records, maps their rows to a schema, and infers a schema from them."""
