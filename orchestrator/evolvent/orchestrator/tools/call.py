"""The only way that a tool is called: admitted, checked, bounded in time and size, and recorded however it ends.

              admitted? --no--> error      (tool.unknown, tool.not_offered, tool.admin_only, tool.rate_limited)
                  |
              arguments? --no--> error     (tool.bad_arguments, tool.shadow)
                  |
    returned -----+----- raised, or ran out of time
       |                        |
       ok          may the effect have taken place unseen? --no--> error
                                |
                               yes, and the tool is keyed or irreversible --> unknown

Cancelling the task that calls is no outcome: CancelledError goes through, and the claim in the journal speaks for the
call.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from evolvent.events.clock import Clock
from evolvent.events.errors import EvolventError
from evolvent.events.language.conversation import ToolCall
from evolvent.events.language.decisions import idempotency_key
from evolvent.events.language.tools import Effect
from evolvent.events.messages.runs import ToolOutcome, ToolRecord
from evolvent.orchestrator.tools.bounds import Raised, bounded
from evolvent.orchestrator.tools.context import ReconcileResult, ToolContext
from evolvent.orchestrator.tools.decorator import Tool
from evolvent.orchestrator.tools.outcome import End, failed, refused, unkept, unknown
from evolvent.orchestrator.tools.plain import Plain, beginning, plain_json
from evolvent.orchestrator.tools.refusals import BadArguments, BadResult, OutcomeUnknown, ShadowRefused
from evolvent.orchestrator.tools.registry import ToolRegistry

MOST_RESULT_BYTES: Final = 256 * 1024
MOST_ARGUMENT_BYTES: Final = 256 * 1024
PREVIEW_BYTES: Final = 4 * 1024
MOST_BLOB_BYTES: Final = 64 * 1024 * 1024


async def call_tool(
    registry: ToolRegistry,
    call: ToolCall,
    ctx: ToolContext,
    *,
    offered: frozenset[str],
    clock: Clock,
    attempt: int = 1,
    limit_seconds: float = math.inf,
) -> ToolRecord:
    """Call a tool as a model asked for it, and return what became of it. Raises nothing but CancelledError.

    Args:
        registry: Where the tool is found.
        call: The model's wish, untrusted.
        ctx: On whose behalf; for a keyed tool with the key that was claimed.
        offered: The names of the tools that the agent was offered.
        clock: Time.
        attempt: Which attempt at this call this is.
        limit_seconds: How long its task still has, where that is less than the tool's own timeout.
    """
    begun = _begin(registry, call, ctx, clock, attempt=attempt)
    given: dict[str, Any] = {}
    try:
        given, mended = _readable_arguments(call)
        tool = registry.admit(call.name, ctx.agent_id, offered=offered, now=begun.monotonic)
        arguments = _checked(tool, given, begun.ctx, mended=mended)
    except EvolventError as error:
        end = refused(error, registry.scrub)
    else:
        end = await _ended(registry, tool, arguments, min(limit_seconds, tool.spec.timeout_seconds))
    record = begun.record(end, given, clock)
    registry.count(call.name, record.outcome, record.duration_seconds)
    return record


async def reconcile_call(
    registry: ToolRegistry, call: ToolCall, ctx: ToolContext, *, clock: Clock, attempt: int = 1
) -> ToolRecord | None:
    """Ask a tool's reconcile hook what became of a call of unknown end.

    Returns:
        A record that is ok where it took place and unknown where nobody can say; None where it is certain that it
        did not take place, so that the call may be made.
    """
    begun = _begin(registry, call, ctx, clock, attempt=attempt)
    tool = begun.tool
    given: dict[str, Any] = {}
    end = End(ToolOutcome.UNKNOWN, error=OutcomeUnknown().info())
    if tool is not None and tool.reconcile is not None:
        try:
            given, _ = _readable_arguments(call)
            answer = await bounded(tool.reconcile(dict(given), begun.ctx), tool.spec.timeout_seconds)
        except BadArguments as error:
            end = unknown(tool.spec, error, registry.scrub)
        except Raised as raised:
            end = unknown(tool.spec, raised.error, registry.scrub)
        else:
            happened = answer.happened if isinstance(answer, ReconcileResult) else None
            if happened is False:
                return None
            if happened and isinstance(answer, ReconcileResult):
                end = replace(await _kept(registry, tool, answer.result), decided_by="reconcile")
    return begun.record(end, given, clock)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A call that began: what its record says already."""

    tool: Tool | None
    call: ToolCall
    ctx: ToolContext
    attempt: int
    monotonic: float

    def record(self, end: End, given: dict[str, Any], clock: Clock) -> ToolRecord:
        spec = self.tool.spec if self.tool else None
        effect = spec.effect if spec else Effect.PURE  # nothing was called, so nothing can have happened
        assert self.ctx.started_at is not None
        return ToolRecord(
            task_id=self.ctx.task_id,
            call_id=self.call.call_id,
            name=spec.name if spec else self.call.name[:64].encode("utf-8", "replace").decode(),
            effect=effect,
            schema_hash=spec.schema_hash if spec else "",
            arguments=given,
            outcome=end.outcome,
            result=end.result,
            result_ref=end.result_ref,
            error=end.error,
            origin=spec.origin if spec else "tool",
            idempotency_key=self.ctx.idempotency_key if effect is Effect.KEYED else None,
            attempt=self.attempt,
            decided_by=end.decided_by,
            started_at=self.ctx.started_at,
            duration_seconds=max(0.0, clock.monotonic() - self.monotonic),
        )


def _begin(registry: ToolRegistry, call: ToolCall, ctx: ToolContext, clock: Clock, *, attempt: int) -> _Begun:
    """Complete the context. Folders and resources always come from the registry: no caller can widen them."""
    key = ctx.idempotency_key or idempotency_key(ctx.run_id, ctx.task_id, call.call_id)
    ctx = replace(
        ctx, folders=registry.folders, resources=registry.resources, started_at=clock.now(), idempotency_key=key
    )
    return _Begun(registry.find(call.name), call, ctx, attempt, clock.monotonic())


def _readable_arguments(call: ToolCall) -> tuple[dict[str, Any], bool]:
    """Return the arguments in a form that the journal can hold, and whether that changed them."""
    if call.arguments is None:
        raise BadArguments(f"The arguments of {call.name[:64]!r} are not a JSON object; write one and call again.")
    try:
        plain = plain_json(call.arguments)
    except BadResult as error:
        raise BadArguments(f"The arguments of {call.name[:64]!r} cannot be read. {error}") from None
    if len(plain.data) > MOST_ARGUMENT_BYTES:
        raise BadArguments(
            f"The arguments of {call.name[:64]!r} are {len(plain.data)} bytes long; {MOST_ARGUMENT_BYTES} is the most."
        )
    return plain.value, plain.mended


def _checked(tool: Tool, given: dict[str, Any], ctx: ToolContext, *, mended: bool) -> dict[str, Any]:
    spec = tool.spec
    if mended:
        raise BadArguments(f"The arguments of {spec.name!r} hold NUL or broken Unicode; leave it out and call again.")
    if ctx.shadow and spec.effect not in (Effect.PURE, Effect.READ):
        raise ShadowRefused(f"A shadow run may not call {spec.name!r}, which is {spec.effect}. Nothing was done.")
    arguments = tool.check(given)
    if tool.takes_context:
        arguments["ctx"] = ctx
    return arguments


async def _ended(registry: ToolRegistry, tool: Tool, arguments: dict[str, Any], limit_seconds: float) -> End:
    """Run the tool and say how that ended."""
    spec = tool.spec
    try:
        result = await bounded(_run(registry, tool, arguments), limit_seconds)
    except Raised as raised:
        return failed(spec, raised, registry.scrub)
    return await _kept(registry, tool, result)


async def _run(registry: ToolRegistry, tool: Tool, arguments: dict[str, Any]) -> object:
    if tool.is_async:
        return await cast(Awaitable[object], tool.function(**arguments))
    return await registry.threads.run(tool.function, arguments, wait_seconds=tool.spec.timeout_seconds / 2)


async def _kept(registry: ToolRegistry, tool: Tool, result: object) -> End:
    """Bring a result into the journal's form; a large one is stored aside."""
    try:
        plain = plain_json(result)
        if len(plain.data) <= MOST_RESULT_BYTES:
            return End(ToolOutcome.OK, plain.value)
        return End(ToolOutcome.OK, beginning(plain, PREVIEW_BYTES), await _stored(registry, plain))
    except BadResult as error:
        return unkept(tool.spec, error, registry.scrub)


async def _stored(registry: ToolRegistry, plain: Plain) -> str:
    size = len(plain.data)
    if registry.store_blob is None or size > MOST_BLOB_BYTES:
        limit = MOST_RESULT_BYTES if registry.store_blob is None else MOST_BLOB_BYTES
        raise BadResult(f"The result is {size} bytes long, and {limit} is the most; ask for less of it.")
    try:
        return await registry.store_blob(plain.data)
    # The call has been made, so its record must be, too.
    except Exception as error:
        raise BadResult(f"The result of {size} bytes could not be stored ({type(error).__name__}).") from error
