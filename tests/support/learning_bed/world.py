"""A world: its tools, its base, and one call of one of its tools without a platform around it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

from support.learning_bed.database import RESOURCE, Base, Desk, Refused

from evolvent.events.errors import EvolventError
from evolvent.events.language.tools import Effect
from evolvent.orchestrator.tools import ToolContext
from evolvent.orchestrator.tools.decorator import Tool, tool_of

FAILED = "tool.failed"


@dataclass(frozen=True, slots=True)
class Ask:
    """A call that an agent wants made."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a call: its result, or the code and text of what went wrong."""

    result: Any = None
    error: str | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class World:
    """Where requests are carried out.

    `modules` are the names for the setting `tools.modules`; `system_prompt` is what its agent is told.
    """

    name: str
    base: Base
    tools: Mapping[str, Tool]
    modules: tuple[str, ...]
    system_prompt: str

    @classmethod
    def of(cls, name: str, base: Base, module: ModuleType, system_prompt: str) -> World:
        """Put a world together from its base and the module with its tools."""
        return cls(name, base, tools_in(module), (module.__name__,), system_prompt)

    def with_base(self, base: Base) -> World:
        """The same world over other records."""
        return replace(self, base=base)

    def with_tools(self, module: ModuleType) -> World:
        """The same world with the tools of another module: a changed schema."""
        return replace(self, tools=tools_in(module), modules=(module.__name__,))

    def desk(self) -> Desk:
        """A desk with this world only."""
        return Desk({self.name: self.base})

    def is_write(self, ask: Ask) -> bool:
        """Say whether a call changes anything."""
        tool = self.tools.get(ask.name)
        return tool is not None and tool.spec.effect not in (Effect.PURE, Effect.READ)

    def call(self, desk: Desk, run_id: str, ask: Ask, *, step: int) -> Seen:
        """Call a tool as the platform would, without one."""
        tool = self.tools.get(ask.name)
        if tool is None:
            return Seen(error="tool.unknown", message=f"There is no tool {ask.name!r}.")
        try:
            arguments = tool.check(ask.arguments)
            if tool.takes_context:
                arguments["ctx"] = ToolContext(
                    run_id, "answer", f"call_{step}", idempotency_key=f"{run_id}:{step}", resources={RESOURCE: desk}
                )
            return Seen(_finished(tool.function(**arguments)))
        except Refused as error:
            return Seen(error=FAILED, message=f"Refused: {error}")
        except EvolventError as error:
            return Seen(error=error.info().code, message=error.info().message)


def tools_in(module: ModuleType) -> dict[str, Tool]:
    """All tools of a module by name."""
    found = (tool_of(value) for value in vars(module).values())
    return {tool.spec.name: tool for tool in found if tool is not None}


def _finished(result: object) -> object:
    """The result of a coroutine that never waits: the bed's tools are async and have nothing to wait for."""
    if not inspect.iscoroutine(result):
        return result
    try:
        result.send(None)
    except StopIteration as end:
        return end.value
    result.close()
    raise AssertionError("a tool of the bed waited for something")
