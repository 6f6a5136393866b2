"""Which activations stay in memory: the least recently used goes first, and never one that is in use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

from evolvent.events.errors import Category, EvolventError

K = TypeVar("K", bound=Hashable)


class NoRoom(EvolventError):
    """Every activation of this loader is in use; wait, start another loader or raise `max_active_agents`."""

    code, category, retryable = "loader.no_room", Category.RESOURCE, True


class Residency(Generic[K]):
    """The keys that are resident, and how many users each has now.

    Times are seconds of a monotonic clock. A key with a user is pinned: it is neither evicted nor idle. Keys
    without one stand in the order of their last use.
    """

    def __init__(self, max_active: int, idle_seconds: float) -> None:
        self._max_active = max_active
        self._idle_seconds = idle_seconds
        self._free: OrderedDict[K, float] = OrderedDict()
        self._pins: dict[K, int] = {}
        self._doomed: set[K] = set()

    def __len__(self) -> int:
        return len(self._free) + len(self._pins)

    def __contains__(self, key: object) -> bool:
        return key in self._free or key in self._pins

    @property
    def in_use(self) -> int:
        """How many keys have a user now."""
        return len(self._pins)

    @property
    def has_room(self) -> bool:
        """Say whether one more may come without another leaving."""
        return len(self) < self._max_active

    def admit(self, key: K, now: float) -> tuple[K, ...]:
        """Make a key resident, unpinned; return the keys that had to leave for it.

        Raises:
            NoRoom: all others are pinned. Nothing was changed.
        """
        if key in self:
            self.touch(key, now)
            return ()
        excess = len(self) + 1 - self._max_active
        if excess > len(self._free):
            raise NoRoom
        evicted = tuple(self._free.popitem(last=False)[0] for _ in range(excess))
        self._free[key] = now
        return evicted

    def touch(self, key: K, now: float) -> bool:
        """Note a use of a key; say whether it is resident."""
        if key in self._free:
            self._free[key] = now
            self._free.move_to_end(key)
        return key in self

    def pin(self, key: K) -> None:
        """Give a resident key one user more.

        Raises:
            KeyError: it is not resident.
        """
        if key in self._free:
            del self._free[key]
            self._pins[key] = 1
        else:
            self._pins[key] += 1

    def unpin(self, key: K, now: float) -> bool:
        """Take a user away; say whether the key left with it, because it was dropped meanwhile.

        Raises:
            KeyError: it has no user.
        """
        if self._pins[key] > 1:
            self._pins[key] -= 1
            return False
        del self._pins[key]
        if key in self._doomed:
            self._doomed.discard(key)
            return True
        self._free[key] = now
        return False

    def drop(self, key: K) -> bool:
        """Let a key leave now, or with its last user; say whether it has left."""
        if key in self._pins:
            self._doomed.add(key)
            return False
        return self._free.pop(key, None) is not None

    def idle(self, now: float) -> tuple[K, ...]:
        """Let the keys leave that nobody used for so long, and return them."""
        gone: list[K] = []
        while self._free:
            key, used_at = next(iter(self._free.items()))
            if now - used_at < self._idle_seconds:
                break
            del self._free[key]
            gone.append(key)
        return tuple(gone)
