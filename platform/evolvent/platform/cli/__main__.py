"""`python -m evolvent.platform.cli`: the same as `evolvent`."""

from __future__ import annotations

from evolvent.platform.cli import main

if __name__ == "__main__":
    main()
