"""Checks the types of the reference mesh's products in one run of mypy: `python -m tests.product_types`.

Modules of products share names (`recount`), and their folders are no packages; mypy refuses two modules of one name. So it
is given links with names of their own, and its output names the files.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
_LINKS: Final = ROOT / ".mypy_cache" / "products"


def main() -> None:
    """Run mypy; exit with its code."""
    files = {
        re.sub(r"\W", "_", str(file.relative_to(ROOT).with_suffix(""))): file.relative_to(ROOT)
        for folder in ("producers", "processors")
        for file in sorted((ROOT / folder).rglob("*.py"))
    }
    _LINKS.mkdir(parents=True, exist_ok=True)
    for link in _LINKS.iterdir():
        link.unlink()
    for name, file in files.items():
        (_LINKS / f"{name}.py").symlink_to(ROOT / file)
    command = [sys.executable, "-m", "mypy", *(str((_LINKS / f"{name}.py").relative_to(ROOT)) for name in files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    text = done.stdout
    for name, file in files.items():
        text = re.sub(rf"\S*\b{name}\.py\b", str(file), text)
    sys.stdout.write(text)
    sys.stderr.write(done.stderr)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
