"""Residency: a cap that holds, an order that is kept, and nobody thrown out who is at work."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from evolvent.orchestrator.agents.residency import NoRoom, Residency

KEYS = st.sampled_from([f"agent_{i}" for i in range(9)])
CAP = 4
IDLE = 50.0


class ResidencyMachine(RuleBasedStateMachine):
    """Against the plainest model there is: a dict of last uses and a dict of users."""

    def __init__(self) -> None:
        super().__init__()
        self.residency: Residency[str] = Residency(CAP, IDLE)
        self.now = 0.0
        self.uses: OrderedDict[str, float] = OrderedDict()
        self.users: dict[str, int] = {}
        self.doomed: set[str] = set()

    def _used(self, key: str) -> None:
        self.uses[key] = self.now
        self.uses.move_to_end(key)

    def _free(self) -> list[str]:
        return [key for key in self.uses if key not in self.users]

    @rule(seconds=st.floats(min_value=0.5, max_value=60))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(key=KEYS)
    def admit(self, key: str) -> None:
        free = self._free()
        if key not in self.uses and len(self.uses) >= CAP and not free:
            with pytest.raises(NoRoom):
                self.residency.admit(key, self.now)
            return
        expected = (free[0],) if key not in self.uses and len(self.uses) >= CAP else ()
        assert self.residency.admit(key, self.now) == expected
        for gone in expected:
            del self.uses[gone]
        if key not in self.users:
            self._used(key)

    @precondition(lambda self: self.uses)
    @rule(data=st.data())
    def pin(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(list(self.uses)))
        self.residency.pin(key)
        self.users[key] = self.users.get(key, 0) + 1

    @precondition(lambda self: self.users)
    @rule(data=st.data())
    def unpin(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(list(self.users)))
        left = self.residency.unpin(key, self.now)
        self.users[key] -= 1
        if self.users[key]:
            assert not left
            return
        del self.users[key]
        assert left == (key in self.doomed)
        self._used(key)
        if left:
            self.doomed.discard(key)
            del self.uses[key]

    @rule(key=KEYS)
    def touch(self, key: str) -> None:
        assert self.residency.touch(key, self.now) == (key in self.uses)
        if key in self.uses and key not in self.users:
            self._used(key)

    @rule(key=KEYS)
    def drop(self, key: str) -> None:
        left = self.residency.drop(key)
        assert left == (key in self.uses and key not in self.users)
        if left:
            del self.uses[key]
        elif key in self.users:
            self.doomed.add(key)

    @rule()
    def idle(self) -> None:
        expected = tuple(key for key in self._free() if self.now - self.uses[key] >= IDLE)
        assert self.residency.idle(self.now) == expected
        for key in expected:
            del self.uses[key]

    @invariant()
    def holds(self) -> None:
        assert len(self.residency) == len(self.uses) <= CAP
        assert self.residency.in_use == len(self.users)
        assert all(key in self.residency for key in self.uses)


ResidencyMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestResidency = ResidencyMachine.TestCase


def test_the_least_recently_used_leaves_first() -> None:
    residency: Residency[str] = Residency(2, IDLE)
    residency.admit("a", 1.0)
    residency.admit("b", 2.0)
    residency.touch("a", 3.0)
    assert residency.admit("c", 4.0) == ("b",)


def test_a_newcomer_finds_no_room_where_all_are_in_use() -> None:
    residency: Residency[str] = Residency(1, IDLE)
    residency.admit("a", 1.0)
    residency.pin("a")
    with pytest.raises(NoRoom, match="max_active_agents"):
        residency.admit("b", 2.0)
    residency.unpin("a", 3.0)
    assert residency.admit("b", 4.0) == ("a",)


def test_a_dropped_key_in_use_stays_until_its_last_user_goes() -> None:
    residency: Residency[str] = Residency(1, IDLE)
    residency.admit("a", 1.0)
    residency.pin("a")
    residency.pin("a")
    assert not residency.drop("a")
    assert not residency.unpin("a", 2.0)
    assert residency.unpin("a", 3.0)
    assert "a" not in residency
