"""Where public data is found: where EVOLVENT_DATA says, else in a folder `data` beside the project."""

from __future__ import annotations

import os
from pathlib import Path

_AROUND = Path(__file__).resolve().parents[4]


class DataAbsent(Exception):
    """The public data is not here; set EVOLVENT_DATA to the folder that holds `retail/` and `airline-runs/`."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def public_path(name: str, data: Path | None = None) -> Path:
    """The path of a public file or folder.

    Raises:
        DataAbsent: If it is not there.
    """
    told = os.environ.get("EVOLVENT_DATA")
    given = data or (Path(told) if told else None)
    folders = [given] if given else [_AROUND / "data", *sorted(_AROUND.glob("*/data"))]
    found = next((folder / name for folder in folders if (folder / name).exists()), None)
    if found is None:
        raise DataAbsent
    return found


def is_there(name: str, data: Path | None = None) -> bool:
    """Say whether a public file or folder is here."""
    try:
        public_path(name, data)
    except DataAbsent:
        return False
    return True
