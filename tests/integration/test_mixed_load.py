"""Requests of all priorities on a real bus, more than there are slots: the order in which they are served."""

from __future__ import annotations

import asyncio
import json
from statistics import fmean

from support.house import MakeHouse
from support.neighbours import request_body

MANY = 12


async def test_urgent_requests_overtake_what_came_before_and_nothing_is_left_behind(house: MakeHouse) -> None:
    gate = asyncio.Event()
    here = await house("done", gate=gate, max_concurrent_runs=2)
    blocking = [await here.publish(subject="evolvent.requests.medium.default") for _ in range(2)]
    while len(here.loader.asked) < len(blocking):
        here.loader.called.clear()
        await here.loader.called.wait()
    asked: dict[str, list[str]] = {}
    for priority in ("background", "medium", "critical"):
        subject = f"evolvent.requests.{priority}.default"
        asked[priority] = [await here.publish(request_body(priority), subject) for _ in range(MANY)]
    gate.set()
    await here.until_acked()
    order = [run_id for run_id in here.loader.asked if run_id not in blocking]
    place = {priority: fmean(order.index(run_id) for run_id in asked[priority]) for priority in asked}
    assert len(order) == 3 * MANY
    assert place["critical"] < 0.5 * place["background"], json.dumps(place)
    assert place["critical"] < place["medium"] < place["background"], json.dumps(place)
