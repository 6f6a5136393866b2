"""The conversation of an agent task, rendered from the past; and the bound on what it can cost."""

from __future__ import annotations

import json

from evolvent.events.errors import EvolventError
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.briefing import brief, monolith
from evolvent.events.language.conversation import ChatMessage, ToolCall
from evolvent.events.language.references import Scope, as_text
from evolvent.events.language.scopes import scope_of
from evolvent.events.language.state import CallState, RunState, TaskState
from evolvent.events.language.tools import ToolSpec
from evolvent.events.messages.runs import ToolRecord

_OVERHEAD_BYTES = 16
"""For each message and tool: a token covers at least a byte, and chat templates add a few of their own."""


def conversation(state: RunState, task: TaskState) -> tuple[ChatMessage, ...]:
    """Return the messages of an agent task after its system prompt: the job, then every turn and its results."""
    assert state.started is not None
    messages = [ChatMessage(role="user", content=opening(state, task))]
    if task.task.is_primed:
        messages.extend(_primer(state, task))
    records = {call.call.call_id: call for call in task.calls}
    for turn in task.turns:
        if turn.reply is None:
            continue
        messages.append(ChatMessage(role="assistant", content=turn.reply.text, tool_calls=turn.reply.tool_calls))
        messages.extend(_answer(records[call.call_id]) for call in turn.reply.tool_calls)
    return tuple(messages)


def prompt_bytes(spec: AgentSpec, messages: tuple[ChatMessage, ...], tools: tuple[ToolSpec, ...]) -> int:
    """Return an upper bound of the prompt's tokens: its UTF-8 bytes plus 16 for each message and tool."""
    total = len(spec.system_prompt.encode()) + _OVERHEAD_BYTES
    for message in messages:
        total += len((message.content or "").encode()) + len(message.tool_call_id or "") + _OVERHEAD_BYTES
        for call in message.tool_calls:
            total += _argument_bytes(call) + len(call.name) + len(call.call_id) + _OVERHEAD_BYTES
    return total + sum(tool.function_bytes + _OVERHEAD_BYTES for tool in tools)


def _argument_bytes(call: ToolCall) -> int:
    """Broken arguments go back wrapped and escaped, which at most doubles them."""
    if call.arguments is None:
        return 2 * len((call.raw_arguments or "").encode()) + 2 * _OVERHEAD_BYTES
    return len(json.dumps(call.arguments).encode())


def result_text(record: ToolRecord) -> str:
    """Return a tool call's result as the model reads it."""
    if record.error is not None:
        return json.dumps({"error": record.error.message, "code": record.error.code}, ensure_ascii=False)
    if isinstance(record.result, str):
        return record.result
    return json.dumps(record.result, ensure_ascii=False, separators=(",", ":"))


def opening(state: RunState, task: TaskState) -> str:
    """Return the first message of an agent task: its briefing, the item at hand, and what was asked.

    A task whose instructions refer to what is not there says so to its agent, which can still answer.
    """
    assert state.started is not None
    scope = scope_of(state, task=task)
    message = state.started.request.message
    try:
        told = brief(task.task, scope)
    except EvolventError as error:
        return "\n\n".join(part for part in (task.task.instructions, message, f"({error})") if part)
    parts = [told.instructions, message]
    if told.context:
        parts.append("Context: " + json.dumps(dict(told.context), ensure_ascii=False, sort_keys=True))
    if not task.task.is_primed:  # which finds the results of what it depends on among its own calls
        parts += [f"Output of {name}: {as_text(value)}" for name, value in told.inputs.items()]
    if task.item_of is not None:
        parts.append(f"Item: {as_text(scope.item)}")
    return "\n\n".join(part for part in parts if part)


def monolith_bytes(state: RunState) -> int:
    """Return how long one prompt for the whole workflow would be at this moment: all jobs, context and outputs."""
    assert state.started is not None
    whole = monolith(state.workflow, Scope(context=scope_of(state).context))
    return len(whole.encode()) + len(state.started.request.message.encode()) + state.output_bytes


def _primer(state: RunState, task: TaskState) -> list[ChatMessage]:
    """Return the calls that the run has made for the agent, as if it had made them itself."""
    made = [
        (f"known_{number}", call)
        for number, call in enumerate(
            call
            for name, other in state.tasks.items()
            if name != task.task.task_id
            for call in other.calls
            if call.record is not None
        )
    ]
    if not made:
        return []
    calls = tuple(call.call.model_copy(update={"call_id": name}) for name, call in made)
    answers = [_answer(call, name) for name, call in made]
    return [ChatMessage(role="assistant", tool_calls=calls), *answers]


def _answer(call: CallState, name: str | None = None) -> ChatMessage:
    assert call.record is not None
    return ChatMessage(role="tool", content=result_text(call.record), tool_call_id=name or call.call.call_id)
