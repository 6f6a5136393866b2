"""The SDK against a real `evolvent up`, with the scripted model server as the model."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support.processes import Platform, platform_up, scripted_model

from evolvent.events.errors import BusUnavailable, InvalidMessage, InvalidSubject
from evolvent.platform.client import Client, Step

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPT = """
rules:
  - when: {user: "average"}
    turns:
      - tool_calls: [{name: calculate_metrics, arguments: {values: [3, 5, 8]}}]
      - text: "The mean is {{ tool.0.result.mean }}."
default: {text: "one two three four five"}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    folder = tmp_path_factory.mktemp("client")
    script = folder / "script.yaml"
    script.write_text(SCRIPT)
    async with scripted_model(folder, script) as url, platform_up(folder, url) as running:
        yield running


async def test_an_answer_comes_with_its_steps_its_text_and_its_price(platform: Platform) -> None:
    steps: list[Step] = []
    pieces: list[str] = []
    async with Client.connect(platform.data_dir) as client:
        answer = await client.ask(
            "What is the average?", on_step=steps.append, on_token=pieces.append, user_id="u1", context={"a": 1}
        )
        assert answer.ok
        assert answer.scripted
        assert (answer.model_calls, answer.tool_calls) == (2, 1)
        assert answer.answer is not None
        assert answer.answer in "".join(pieces)
        assert [step.type for step in steps] == [step.type async for step in client.follow(answer.run_id)]
        assert await client.wait(answer.run_id) == answer


async def test_a_run_is_followed_live_from_its_first_event_to_its_last(platform: Platform) -> None:
    async with Client.connect(platform.data_dir) as client:
        run_id = "0f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10"

        async def follow() -> list[str]:
            return [step.type async for step in client.follow(run_id)]

        async def text() -> str:
            return "".join([piece async for piece in client.stream(run_id)])

        following, streaming = asyncio.create_task(follow()), asyncio.create_task(text())
        await asyncio.sleep(0)
        await client.bus.flush()
        assert await client.publish("hello", run_id=run_id, stream=True) == run_id
        assert await following == ["workflow_started", "agent_started", "agent_completed", "workflow_completed"]
        assert await streaming == "one two three four five"


async def test_the_same_run_id_twice_is_one_run(platform: Platform) -> None:
    run_id = "1f0c1b1e-8a56-4a8e-9d4f-0d3a6d0d2f10"
    async with Client.connect(platform.data_dir) as client:
        first = await client.ask("hello", run_id=run_id)
        assert await client.ask("hello", run_id=run_id) == first


async def test_many_at_a_time_all_get_their_own_answer(platform: Platform) -> None:
    async with Client.connect(platform.data_dir) as client:
        answers = await asyncio.gather(*(client.ask(f"hello {i}") for i in range(30)))
    assert all(answer.ok for answer in answers)
    assert len({answer.run_id for answer in answers}) == 30


async def test_what_cannot_be_sent_is_refused_before_it_is(platform: Platform) -> None:
    async with Client.connect(platform.data_dir) as client:
        with pytest.raises(InvalidMessage, match="message"):
            await client.publish(" ")
        with pytest.raises(InvalidMessage, match="urgent"):
            await client.publish("hello", priority="urgent")
        with pytest.raises(InvalidSubject):
            await client.publish("hello", goal="two words")
        with pytest.raises(InvalidMessage, match="run_id"):
            await client.publish("hello", run_id="not-a-uuid")
    with pytest.raises(BusUnavailable):
        await Client("nats://127.0.0.1:1").publish("hello")
