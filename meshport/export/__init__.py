"""Registered products as documents of other standards. No I/O: values in, documents out, each format a module."""

from __future__ import annotations
