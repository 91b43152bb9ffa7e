"""The mesh for assistants: a server of the Model Context Protocol that finds, describes, samples and judges, and changes nothing.

`tools` answers with what a registry and Kafka say to the caller; `server` is the only importer of the protocol's SDK.
"""

from __future__ import annotations
