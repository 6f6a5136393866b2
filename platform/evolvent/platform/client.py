"""The async SDK: ask, publish, follow, cancel, improve.

    async with Client.connect() as client:
        answer = await client.ask("Why is index main empty?")
        print(answer.answer, answer.cost_usd)

Without arguments it finds the platform that runs on this machine's usual data folder. A run_id is the client's own
choice, so a publish whose receipt was lost is sent again as it is, and the run begins once.
Shown in use by tests/e2e/test_client.py.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, Unpack

from pydantic_core import from_json

from evolvent.events import subjects
from evolvent.events.bus import CoreMessage
from evolvent.events.envelope import Message
from evolvent.events.errors import BusUnavailable
from evolvent.events.expansion import expand
from evolvent.events.messages.commands import Answer as Verdict
from evolvent.events.messages.commands import Cancel, Outcome
from evolvent.events.messages.runs import AnyRunEvent, Final, WorkflowSuspended
from evolvent.events.messages.schedules import ScheduleRow
from evolvent.events.nats_bus import NatsBus
from evolvent.events.subjects import LAST_RUN, Verb
from evolvent.platform.asking import Answer, Ask, Step, answer_of, request_of
from evolvent.platform.client_agents import AgentCalls
from evolvent.platform.client_feedback import FeedbackCalls
from evolvent.platform.client_workflows import WorkflowCalls
from evolvent.platform.connection import read_connection, usual_data_dir
from evolvent.platform.run_follower import RunFollower
from evolvent.platform.scheduling import Planned, Schedules

__all__ = ["Answer", "Ask", "Client", "Step"]

_PUBLISH_TRIES = 5


class Client(WorkflowCalls, AgentCalls, FeedbackCalls):
    """One connection to a platform. `async with Client.connect() as client:`."""

    def __init__(self, url: str, *, name: str = "evolvent-client") -> None:
        self._url = url
        self._name = name
        self._connected: NatsBus | None = None

    @classmethod
    def connect(cls, data_dir: Path | str | None = None, *, url: str | None = None, operator: bool = False) -> Client:
        """Return a client to enter with `async with`.

        Args:
            data_dir: the data folder of a platform on this machine; the usual one by default.
            url: instead, `nats://user:password@host:port`.
            operator: speak as the operator and not as a client.

        Raises:
            NotRunning: no platform has written how to reach it.
        """
        if url is None:
            folder = Path(data_dir) if data_dir is not None else usual_data_dir()
            url = read_connection(folder, "operator" if operator else "client").nats_url
        return cls(url)

    async def __aenter__(self) -> Self:
        self._connected = await NatsBus.connect(self._url, name=self._name, timeout_seconds=5.0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connected is not None:
            await self._connected.close()
            self._connected = None

    @property
    def bus(self) -> NatsBus:
        """The connection, for what this class has no method for."""
        if self._connected is None:
            raise BusUnavailable("The client is not connected; use `async with Client.connect() as client:`.")
        return self._connected

    async def publish(self, message: str, *, stream: bool = False, **ask: Unpack[Ask]) -> str:
        """Publish a request and return its run_id once it is stored; nobody waits for its answer.

        Raises:
            InvalidMessage, InvalidSubject: the request cannot be sent as it is.
            BusUnavailable: no receipt after several tries; publish again with the same run_id.
        """
        run_id = ask.get("run_id") or str(uuid.uuid4())
        subject, body = request_of(message, run_id, stream=stream, ask=ask)
        for attempt in range(_PUBLISH_TRIES):
            try:
                await self.bus.append(subject, body)
                break
            except BusUnavailable:
                if attempt + 1 == _PUBLISH_TRIES:
                    raise
        return run_id

    async def ask(
        self,
        message: str,
        *,
        stream: bool = False,
        on_step: Callable[[Step], None] | None = None,
        on_token: Callable[[str], None] | None = None,
        **ask: Unpack[Ask],
    ) -> Answer:
        """Publish a request and wait until its run ends or waits for somebody.

        Args:
            message: what is asked.
            stream: have the model's text sent as it comes.
            on_step: called with everything that happens in the run.
            on_token: called with the model's text as it comes; implies `stream`.
            ask: see `Ask`.
        """
        run_id = ask.get("run_id") or str(uuid.uuid4())
        is_ours = not ask.get("run_id")
        ask = {**ask, "run_id": run_id}
        stop = await self._hear_tokens(run_id, on_token) if on_token is not None else None
        try:
            async with RunFollower(self.bus, run_id) as follower:
                await self.publish(message, stream=stream or on_token is not None, **ask)
                async for event in follower.events(backlog=not is_ours):
                    _tell(event, on_step)
                    if isinstance(event, Final | WorkflowSuspended):
                        return answer_of(event)
        finally:
            if stop is not None:
                await stop()
        raise BusUnavailable(f"Run {run_id} went on and its end was not heard; `evolvent runs show {run_id}` tells it.")

    async def follow(self, run_id: str) -> AsyncIterator[Step]:
        """Yield everything that happened and happens in a run, until it ends."""
        async with RunFollower(self.bus, run_id) as follower:
            async for event in follower.events():
                for kind, data in expand(event):
                    yield Step(kind, data)

    async def wait(self, run_id: str) -> Answer:
        """Wait until a run that is published already ends or waits for somebody."""
        async with RunFollower(self.bus, run_id) as follower:
            async for batch in follower.batches():
                if batch and isinstance(last := batch[-1], Final | WorkflowSuspended):
                    return answer_of(last)
        raise BusUnavailable(f"Run {run_id} was not heard to its end; ask again.")

    async def stream(self, run_id: str) -> AsyncIterator[str]:
        """Yield the model's text as it comes, until the run ends. The request must have been sent with `stream`."""
        pieces: asyncio.Queue[str | None] = asyncio.Queue()
        stop = await self._hear_tokens(run_id, pieces.put_nowait)
        ending = asyncio.create_task(self._end_of(run_id, pieces))
        try:
            while (piece := await pieces.get()) is not None:
                yield piece
        finally:
            ending.cancel()
            await stop()

    async def cancel(self, run_id: str = LAST_RUN, *, reason: str | None = None, user_id: str | None = None) -> None:
        """Ask that a run stop; by default the user's last one. It ends when its owner hears it."""
        await self._say(Verb.CANCEL, run_id, Cancel(reason=reason, user_id=user_id))

    async def outcome(self, run_id: str, *, ok: bool, note: str | None = None, user_id: str | None = None) -> None:
        """Say whether a run did, in the world, what was wanted."""
        await self._say(Verb.OUTCOME, run_id, Outcome(ok=ok, note=note, user_id=user_id))

    async def decide(
        self,
        run_id: str,
        *,
        approved: bool,
        outcome: Literal["happened", "did_not_happen", "failed"] | None = None,
        note: str | None = None,
        task_id: str | None = None,
    ) -> None:
        """Answer what a suspended run waits for; `task_id` names one approval of several. Only an operator may."""
        verdict = Verdict(outcome=outcome, note=note, task_id=task_id)
        await self._say(Verb.APPROVE if approved else Verb.DENY, run_id, verdict)

    async def add_schedule(self, name: str, message: str, **planned: Unpack[Planned]) -> ScheduleRow:
        """Have a request published again and again, in this client's name; see `Planned` for when and what.

        Adding the same schedule twice is adding it once.

        Raises:
            RemoteError: its code says why: `schedule.invalid`, `schedule.exists`, `schedule.too_many`.
        """
        return await Schedules(self.bus).add(name, message, planned)

    async def list_schedules(self) -> tuple[ScheduleRow, ...]:
        """Return this client's schedules by name; an operator gets everybody's."""
        return await Schedules(self.bus).all()

    async def remove_schedule(self, name: str) -> ScheduleRow:
        """Remove a schedule; what it published already goes on. Returns it as it was."""
        return await Schedules(self.bus).tell("remove", name)

    async def _say(self, verb: Verb, run_id: str, command: Message) -> None:
        await self.bus.append(subjects.command(verb, run_id), command.encode())

    async def _hear_tokens(self, run_id: str, on_token: Callable[[str], None]) -> Callable[[], Awaitable[None]]:
        def heard(message: CoreMessage) -> None:
            on_token(str(from_json(message.data)["text"]))

        return await self.bus.subscribe(subjects.stream(run_id), heard)

    async def _end_of(self, run_id: str, pieces: asyncio.Queue[str | None]) -> None:
        try:
            await self.wait(run_id)
        finally:
            pieces.put_nowait(None)


def _tell(event: AnyRunEvent, on_step: Callable[[Step], None] | None) -> None:
    if on_step is not None:
        for kind, data in expand(event):
            on_step(Step(kind, data))
