"""Typed clients of a port: the types of its contract, a publisher and a subscriber, as source code in several languages.

`contract` makes one description of the contract, which a module for each language writes as source code. What a description
says of a contract are other people's texts; each module writes them so that they stay comments and literals.
"""

from __future__ import annotations
