"""The scripted agent behind the model server: the same scripts, driven by nothing but the messages sent."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from support.learning_bed.agent import Knobs, ScriptedAgent
from support.learning_bed.requests import BedRequest, Closing
from support.learning_bed.world import Ask, Seen, World

from evolvent.platform.scripted_model.chat import Answer, Call, ChatRequest, ToolResult, first_user_hash, parse_json
from evolvent.platform.scripted_model.faults import Fault, FaultBoard, FaultKind

UNKNOWN_REQUEST = "I do not know this request."
KnownResults = Callable[[ChatRequest], Iterable[ToolResult]]


class BedResponder:
    """Answers as the scripted agent would, for every request that it was given.

    The script is found by the hash of the first user message, or of a paragraph of it: a platform may write
    instructions before the request and context after it. Where it stands follows from the tool results in the
    messages, so that reads which were made beforehand are not asked for again.

    Args:
        known_results: More results that a prompt tells of in another form.
        fresh_slips: Each conversation over the same text slips on its own, rather than always the same way.
    """

    def __init__(
        self,
        world: World,
        requests: Iterable[BedRequest],
        agent: ScriptedAgent,
        *,
        known_results: KnownResults | None = None,
        fresh_slips: bool = False,
    ) -> None:
        self.world = world
        self.agent = agent
        self._known_results = known_results
        self._fresh_slips = fresh_slips
        self._requests: dict[str, BedRequest] = {}
        self._begun: Counter[str] = Counter()
        self.flags: list[tuple[str, str]] = []
        """Requests whose script no longer fitted the world, with the reason."""
        self.add(requests)

    def add(self, requests: Iterable[BedRequest]) -> None:
        """Make more requests known."""
        self._requests |= {first_user_hash(request.text): request for request in requests}

    def answer(self, request: ChatRequest) -> Answer:
        """Answer one request from its messages."""
        found = self._find(request)
        if found is None:
            return Answer(text=UNKNOWN_REQUEST, rule="unknown", extra={"flag": "no script"})
        results = list(request.tool_results(since_last_user=False))
        if self._known_results is not None:
            results += self._known_results(request)
        said, turn = self._said(found, results)
        if isinstance(said, Ask):
            arguments = json.dumps(said.arguments, ensure_ascii=False)
            made = Answer(calls=(Call(said.name, arguments),), rule=found.request_id, turn=turn)
        else:
            if said.flag:
                self.flags.append((found.request_id, said.flag))
            made = Answer(text=said.text, rule=found.request_id, turn=turn)
        flag = said.flag if isinstance(said, Closing) else ""
        made.extra.update({"virtual_ms": self._virtual_ms(made)} | ({"flag": flag} if flag else {}))
        return made

    def _find(self, request: ChatRequest) -> BedRequest | None:
        found = self._requests.get(request.first_user_hash)
        if found is not None:
            return found
        parts = (self._requests.get(first_user_hash(part)) for part in request.first_user.split("\n\n"))
        return next((part for part in parts if part is not None), None)

    def _said(self, found: BedRequest, results: Sequence[ToolResult]) -> tuple[Ask | Closing, int]:
        """What comes next, by the attempt that explains most of the results, the newest first."""
        if self._fresh_slips and not results:
            self._begun[found.text] += 1
        attempts = range(max(1, self._begun[found.text]) - 1, -1, -1)
        best: tuple[int, Ask | Closing, int] | None = None
        for attempt in attempts:
            left, said, turn = self._replayed(found, results, attempt)
            if best is None or left < best[0]:
                best = left, said, turn
            if not left:
                break
        assert best is not None
        return best[1], best[2]

    def _replayed(
        self, found: BedRequest, results: Sequence[ToolResult], attempt: int
    ) -> tuple[int, Ask | Closing, int]:
        script = self.agent.script(self.world, found, attempt=attempt)
        left = list(results)
        turn = 0
        try:
            ask = next(script)
            while (at := _place(ask, left)) is not None:
                turn += 1
                ask = script.send(_seen(left.pop(at)))
            script.close()
        except StopIteration as end:
            return len(left), end.value, turn
        return len(left), ask, turn

    def _virtual_ms(self, answer: Answer) -> float:
        return self.agent.knobs.fixed_ms + self.agent.knobs.ms_per_token * answer.completion_tokens


class SeededFaults(FaultBoard):
    """Faults by chance, the same for the same seed; put in place of a server's `faults`. Retries go well."""

    def __init__(self, knobs: Knobs) -> None:
        super().__init__()
        self._knobs = knobs
        self._tried: Counter[str] = Counter()

    def take(self, request: ChatRequest, answer: Answer) -> Fault | None:
        """Return the fault to play for this request, if any."""
        place = f"{self._knobs.seed}:{request.first_user_hash}:{len(request.messages)}"
        self._tried[place] += 1
        if self._tried[place] > 1:
            return super().take(request, answer)
        draw = random.Random(place).random()
        for rate, fault in self._rates():
            if draw < rate:
                return fault
            draw -= rate
        return super().take(request, answer)

    def _rates(self) -> tuple[tuple[float, Fault], ...]:
        knobs = self._knobs
        return (
            (knobs.rate_limited, Fault(kind=FaultKind.RATE_LIMIT, retry_after=0.0)),
            (knobs.server_errors, Fault(kind=FaultKind.SERVER_ERROR)),
            (knobs.hangs, Fault(kind=FaultKind.HANG)),
            (knobs.broken_arguments, Fault(kind=FaultKind.BAD_ARGUMENTS)),
        )


@dataclass(frozen=True, slots=True)
class _Error:
    code: str
    message: str


def _place(ask: Ask, results: Sequence[ToolResult]) -> int | None:
    """Where the result of this very call stands, if it was made."""
    wanted = dict(ask.arguments)
    return next((at for at, r in enumerate(results) if r.name == ask.name and r.arguments == wanted), None)


def _seen(result: ToolResult) -> Seen:
    value = parse_json(result.text)
    error = _error(value)
    return Seen(value) if error is None else Seen(error=error.code, message=error.message)


def _error(value: Any) -> _Error | None:
    if isinstance(value, dict) and value.keys() == {"error", "code"}:
        return _Error(str(value["code"]), str(value["error"]))
    return None
