"""Key-value entries with the revision that fences their next update: what leases are made of."""

from __future__ import annotations

from dataclasses import dataclass

from evolvent.events.errors import FenceLost
from evolvent.events.nats_bus import NatsBus

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key-value entry with the revision that fences its next update."""

    value: bytes
    revision: int


class KeyBucket:
    """One bucket."""

    def __init__(self, bus: NatsBus, bucket: str) -> None:
        self._bus = bus
        self._bucket = bucket

    async def create(self, key: str, value: bytes) -> int | None:
        """Write a key that must not exist; return its revision, or None where it does."""
        headers = {_EXPECTED: "0"}
        return await self._write(key, value, headers)

    async def update(self, key: str, value: bytes, revision: int) -> int | None:
        """Write a key that must stand at a revision; return the new one, or None where it does not."""
        headers = {_EXPECTED: str(revision)}
        return await self._write(key, value, headers)

    async def get(self, key: str) -> KeyEntry | None:
        """Read a key, or None."""
        stored = await self._bus.last_of(f"KV_{self._bucket}", f"$KV.{self._bucket}.{key}")
        if stored is None or stored.headers.get("KV-Operation"):
            return None
        return KeyEntry(stored.data, stored.sequence)

    async def _write(self, key: str, value: bytes, headers: dict[str, str]) -> int | None:
        try:
            return (await self._bus.append(f"$KV.{self._bucket}.{key}", value, headers=headers)).sequence
        except FenceLost:
            return None
