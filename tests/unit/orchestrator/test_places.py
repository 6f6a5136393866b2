"""An agent makes no more turns at once than its spec allows."""

from __future__ import annotations

import asyncio
import random

from evolvent.events.language.agents import AgentSpec
from evolvent.orchestrator.agents.places import Places

SPEC = AgentSpec(agent_id="a", specialty="s", system_prompt="p", model="m", max_concurrent_tasks=3)


async def test_never_more_turns_than_places_and_everybody_gets_one_whoever_goes_away() -> None:
    places, chance = Places(), random.Random(7)
    most = 0
    done: list[int] = []

    async def turn(number: int, spec: AgentSpec) -> None:
        nonlocal most
        async with places.hold(spec):
            most = max(most, places.in_hand()["a"])
            for _ in range(chance.randrange(5)):
                await asyncio.sleep(0)
            done.append(number)

    other_version = SPEC.model_copy(update={"system_prompt": "q"})
    tasks = [asyncio.ensure_future(turn(n, SPEC if n % 2 else other_version)) for n in range(200)]
    for number in range(0, 200, 9):
        await asyncio.sleep(0)
        tasks[number].cancel()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    cancelled = sum(isinstance(result, asyncio.CancelledError) for result in results)
    assert most == 3
    assert len(done) == 200 - cancelled
    assert places.in_hand() == {}


async def test_who_waits_is_served_in_order() -> None:
    places, order = Places(), list[int]()
    one = SPEC.model_copy(update={"max_concurrent_tasks": 1})

    async def turn(number: int) -> None:
        async with places.hold(one):
            await asyncio.sleep(0)
            order.append(number)

    await asyncio.gather(*(turn(n) for n in range(10)))
    assert order == list(range(10))
