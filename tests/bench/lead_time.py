"""The lead time of a data product: from an empty folder to a product that is registered, found in the catalog and read.

Two people. A producer has a file of events and types the commands of the README; no line is written by hand. A reader has
a browser and Python: they search for a word of a field with a typo in it, open the product, copy the snippet that its page
shows, and run it until it has printed every event. Each step is timed with the processes that it starts; the time that
people need to type and to read is not in it. Steps are printed on stderr, the sums are figures.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, expect

from tests.bench.figures import Figure, say
from tests.catalog.browser import Reader, chromium
from tests.running import Up, environment, meshport

ADDRESS: Final = "operations/departures"
TITLE: Final = "Departures"
TYPO: Final = "distnace"
FLIGHTS: Final = (
    '{"date":"2001/01/01 00:47","delay":66,"distance":1750,"origin":"DTW","destination":"LAS"}',
    '{"date":"2001/01/01 01:10","delay":95,"distance":2399,"origin":"HNL","destination":"SFO"}',
    '{"date":"2001/01/01 01:24","delay":-5,"distance":407,"origin":"LAS","destination":"OAK"}',
    '{"date":"2001/01/01 01:50","delay":11,"distance":407,"origin":"LAS","destination":"OAK"}',
)


class Stopwatch:
    """The steps of one person.

    Attributes:
        person: whose.
        commands: of meshport that were typed.
        seconds: of all steps so far.
    """

    def __init__(self, person: str) -> None:
        self.person = person
        self.commands = 0
        self.seconds = 0.0

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Time what is done in the context, and print it."""
        begun = time.perf_counter()
        yield
        took = time.perf_counter() - begun
        self.seconds += took
        say(f"{self.person:8}  {took:5.1f} s  {what}")

    def type(self, folder: Path, *arguments: str) -> str:
        """Type a command of meshport and wait for its end; return its stdout."""
        self.commands += 1
        with self.step(f"meshport {' '.join(arguments)}"):
            return meshport(folder, *arguments).stdout


def figures() -> Iterator[Figure]:
    """Both people's commands and seconds."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory())) / "mesh"
        folder.mkdir()
        sample = folder / "flights.jsonl"
        sample.write_text("\n".join(FLIGHTS) + "\n", encoding="utf-8")
        before = set(folder.rglob("*"))
        producer = Stopwatch("producer")
        producer.type(folder, "init")
        producer.type(folder, "new", ADDRESS, "--sample", sample.name, "--key", "origin", "--time", "date")
        files = sum(1 for each in folder.rglob("*") if each.is_file() and each not in before)
        producer.commands += 1
        with producer.step("meshport up, until it is ready: Kafka, the registry with the product, the observer"):
            mesh = Up(folder)
        opened.callback(mesh.end)
        producer.type(folder, "publish", ADDRESS, "--from", sample.name)
        reader = Stopwatch("reader")
        url = mesh.facts["registry_url"]
        with reader.step("opens the browser"):
            person = Reader(opened.enter_context(chromium()), url)
            page = person.open("/")
        with reader.step(f"types {TYPO!r} into the search, opens the product that it finds"):
            _find(page)
        with reader.step("copies the Python snippet and runs it until every event is read"):
            read = _run(page.locator("details[name=snippet] code").first.inner_text(), folder)
        say(f"read: {read[0]}")
        yield Figure("lead time: producer, commands", producer.commands, "commands", None, None)
        yield Figure(
            "lead time: producer, files made and lines written by hand", 0, f"lines; {files} files made", None, None
        )
        yield Figure("lead time: producer, until registered and published", producer.seconds, "s", None, None)
        yield Figure("lead time: reader, commands", 1, "commands", None, None)
        yield Figure("lead time: reader, until found and read", reader.seconds, "s", None, None)
        yield Figure("lead time: from an empty folder to read", producer.seconds + reader.seconds, "s", None, None)


def _find(page: Page) -> None:
    """Search as a person does: by typing, and by a click on what is found."""
    page.get_by_role("searchbox").press_sequentially(TYPO)
    page.get_by_role("link", name=TITLE).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text(TITLE)


def _run(program: str, folder: Path) -> list[str]:
    """Run the snippet as a program of its own, end it after as many lines as there are events, and return them."""
    with subprocess.Popen(
        [sys.executable, "-u", "-c", program], cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            return [next(process.stdout).rstrip() for _ in FLIGHTS]
        finally:
            process.kill()
