"""Fixtures of the whole suite."""

import signal

from hypothesis import settings

from tests.kafka_session import *  # noqa: F403 - pytest finds fixtures and hooks by their names here
from tests.mesh_session import in_memory_mesh as in_memory_mesh  # noqa: PLC0414 - as above
from tests.mesh_session import mesh as mesh  # noqa: PLC0414 - as above
from tests.mesh_session import ports as ports  # noqa: PLC0414 - as above
from tests.parallel import *  # noqa: F403 - as above
from tests.summary import *  # noqa: F403 - as above

# A shell starts what runs in the background with SIGINT ignored, and children inherit that: no command under test could be
# interrupted. A handler of our own gives them the default again.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Hypothesis fails an example that takes 200 ms, which says more about the machine than about the code.
settings.register_profile("suite", deadline=None)
settings.load_profile("suite")
