"""Pin the whole dependency tree anew, without naming where it was found.

    python deploy/refresh_pins.py            take what the version ranges allow today
    python deploy/refresh_pins.py --check    only say whether the two pinned lists agree with the lock

Writes `constraint-dependencies` in pyproject.toml, which `uv run` obeys, and `deploy/requirements.txt`, with hashes,
for the image. The lock itself names package hosts and is not committed.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PYPROJECT = ROOT / "pyproject.toml"
REQUIREMENTS = ROOT / "deploy" / "requirements.txt"
_BLOCK = re.compile(r"^constraint-dependencies = \[\n(?:  .*\n)*\]\n", re.MULTILINE)
_PIN = re.compile(r"^([A-Za-z0-9._-]+==[^ ;\\]+)")


def export(*options: str) -> str:
    """Return what uv exports from the lock."""
    command = ["uv", "export", "--format", "requirements-txt", "--no-emit-project", "--no-header", "--no-annotate"]
    return subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def pins() -> list[str]:
    """Return every package of every extra and group, pinned, once."""
    lines = export("--no-hashes", "--all-extras", "--all-groups").splitlines()
    return sorted({match.group(1) for line in lines if (match := _PIN.match(line))})


def block(pinned: list[str]) -> str:
    """Return the list as it stands in pyproject.toml."""
    return "constraint-dependencies = [\n" + "".join(f'  "{pin}",\n' for pin in pinned) + "]\n"


def main() -> int:
    """Refresh, or check; 1 where a check fails."""
    is_check = "--check" in sys.argv[1:]
    text = PYPROJECT.read_text()
    if not is_check:
        PYPROJECT.write_text(_BLOCK.sub("constraint-dependencies = [\n]\n", text))
        subprocess.run(["uv", "lock", "--upgrade", "--quiet"], cwd=ROOT, check=True)
    pinned = _BLOCK.sub(block(pins()), text)
    requirements = export("--no-dev", "--extra", "postgres")
    if is_check:
        return int(pinned != text or requirements != REQUIREMENTS.read_text())
    PYPROJECT.write_text(pinned)
    REQUIREMENTS.write_text(requirements)
    return 0


if __name__ == "__main__":
    sys.exit(main())
