"""The conversation of an agent task, rendered from the past; and the bound on what it can cost."""

from __future__ import annotations

import json

from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.conversation import ChatMessage, ToolCall
from evolvent.events.language.state import CallState, RunState, TaskState
from evolvent.events.language.tools import ToolSpec
from evolvent.events.messages.runs import ToolRecord

_OVERHEAD_BYTES = 16
"""For each message and tool: a token covers at least a byte, and chat templates add a few of their own."""


def conversation(state: RunState, task: TaskState) -> tuple[ChatMessage, ...]:
    """Return the messages of an agent task after its system prompt: the job, then every turn and its results."""
    assert state.started is not None
    messages = [ChatMessage(role="user", content=_opening(state, task))]
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


def _opening(state: RunState, task: TaskState) -> str:
    assert state.started is not None
    request = state.started.request
    parts = [task.task.instructions, request.message]
    if request.context:
        parts.append("Context: " + json.dumps(request.context, ensure_ascii=False, sort_keys=True))
    for name in task.task.dependencies:
        parts.append(f"Output of {name}: {_as_text(state.tasks[name].output)}")
    return "\n\n".join(part for part in parts if part)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _answer(call: CallState) -> ChatMessage:
    assert call.record is not None
    return ChatMessage(role="tool", content=result_text(call.record), tool_call_id=call.call.call_id)
