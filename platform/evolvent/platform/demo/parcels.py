"""The tool that the demo's learning story works with: parcels that say where they are. Loaded by the demo only."""

from __future__ import annotations

import zlib
from typing import Any

from evolvent.orchestrator.tools import tool

HELD = "P-4711"
_CITIES = ("Lyon", "Turin", "Ghent", "Malmö", "Porto", "Graz", "Cork")


@tool(category="demo", effect="read")
async def track_parcel(parcel: str) -> dict[str, Any]:
    """Tell where a parcel is and when it arrives.

    Args:
        parcel: Its number, such as P-1043.
    """
    number = zlib.crc32(parcel.encode())
    state = "held at customs" if parcel == HELD else "on its way"
    return {"parcel": parcel, "state": state, "city": _CITIES[number % 7], "arrives": f"2026-12-{number % 20 + 1:02d}"}
