"""Our own runner: `python -m tests.bench.processors.ours batch|faust SPEC`; ends with SIGTERM, or at the input's end."""

from __future__ import annotations

import sys

from tests.bench.processors.mesh import plan, ports
from tests.bench.processors.spec import Spec


def main(engine: str, text: str) -> None:
    """Run a processor on one of our engines."""
    spec = Spec.from_json(text)
    bound = ports(spec)
    # The other engine's libraries would be counted as memory of this one.
    if engine == "batch":
        from meshport.process.engines import batch  # noqa: PLC0415 - as above

        batch.run_processor(plan(spec, bound), bound, until_end=spec.until_end)
    else:
        from meshport.process.engines import faust as on_faust  # noqa: PLC0415 - as above

        on_faust.run_processor(plan(spec, bound), bound, until_end=spec.until_end)


if __name__ == "__main__":
    main(*sys.argv[1:])
