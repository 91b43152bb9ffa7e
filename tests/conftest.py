"""Fixtures of the whole suite."""

import os
import signal

from hypothesis import settings

from tests.broker_notes import *  # noqa: F403 - pytest finds fixtures and hooks by their names here
from tests.kafka_session import *  # noqa: F403 - as above
from tests.mesh_session import in_memory_mesh as in_memory_mesh  # noqa: PLC0414 - as above
from tests.mesh_session import mesh as mesh  # noqa: PLC0414 - as above
from tests.mesh_session import mesh_alone as mesh_alone  # noqa: PLC0414 - as above
from tests.mesh_session import ports as ports  # noqa: PLC0414 - as above
from tests.parallel import *  # noqa: F403 - as above
from tests.repeats import EXAMPLES, repeats
from tests.summary import *  # noqa: F403 - as above

# pydantic looks for plugins in all installed packages, which takes 40 ms of CPU in each of the hundreds of Python processes.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# A shell starts what runs in the background with SIGINT ignored, and children inherit that: no command under test could be
# interrupted. A handler of our own gives them the default again.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Hypothesis fails an example that takes 200 ms, which depends on the machine. The suite draws the same examples everywhere;
# a campaign draws new ones each time.
settings.register_profile("suite", max_examples=EXAMPLES, deadline=None, derandomize=repeats(suite=1, campaign=0) == 1)
settings.load_profile("suite")
