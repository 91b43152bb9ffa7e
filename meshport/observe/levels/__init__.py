"""Measured service levels: what is measured of a port's messages, and how its promises are judged by it."""
