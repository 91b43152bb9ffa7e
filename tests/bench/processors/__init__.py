"""Processors beside named peers: the same jobs over the same records on the same broker, each as a process of its own.

`schemas`, `orders`, `spec` and `plain` need no more than the standard library and fastavro: the peers' runners import
them from virtual environments that hold nothing of ours.
"""
