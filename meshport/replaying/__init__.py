"""Running a replay job: what it selects, how fast, and where its events go.

`start` fixes the bounds of a job and records it in the registry; a `ReplayRun` of it may be killed anywhere, and another one goes
on. How far a job came is kept with its output.
"""

from __future__ import annotations

from meshport.replaying.outputs import CallbackOutput, FileOutput, Output
from meshport.replaying.reader import ReplayedPort
from meshport.replaying.run import ReplayRun, RunEnd
from meshport.replaying.selection import Selection
from meshport.replaying.start import ReplayOptions, start
from meshport.replaying.topic_output import TopicOutput

__all__ = [
    "CallbackOutput",
    "FileOutput",
    "Output",
    "ReplayRun",
    "ReplayedPort",
    "RunEnd",
    "Selection",
    "TopicOutput",
    "ReplayOptions",
    "start",
]
