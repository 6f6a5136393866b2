"""Which tools there are, who is offered them, and what became of their calls."""

from __future__ import annotations

import importlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType

from evolvent.events.errors import ConfigInvalid, NotFound
from evolvent.events.language.agents import AgentSpec
from evolvent.events.language.tools import Access, ToolSpec
from evolvent.events.messages.runs import ToolOutcome
from evolvent.orchestrator.tools.access import RateLimits, offered_tools
from evolvent.orchestrator.tools.decorator import Tool, tool_of
from evolvent.orchestrator.tools.folders import usable_folders
from evolvent.orchestrator.tools.refusals import AdminOnly, NotOffered, RateLimited, UnknownTool
from evolvent.orchestrator.tools.scrub import Scrubber
from evolvent.orchestrator.tools.threads import Threads

BUILTIN_MODULE = "evolvent.orchestrator.tools.builtin"
FILE_MODULES = ("evolvent.orchestrator.tools.file_tools", "evolvent.orchestrator.tools.log_search")
StoreBlob = Callable[[bytes], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class ToolSettings:
    """What an operator decides about tools."""

    allowed_folders: tuple[Path, ...] = ()
    """What file tools may look into; without any, there are no file tools."""
    goal_tools: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Narrows the goals that it names to these tools."""
    rate_per_minute: int | None = None
    """How often one agent may call one tool."""
    tool_rates: Mapping[str, int] = field(default_factory=dict)
    """The same for single tools."""
    secrets: tuple[str, ...] = ()
    """Values that no error message may hold."""
    most_threads: int = 64


@dataclass(slots=True)
class ToolUsage:
    """How often a tool was called since this process began, and how that ended."""

    calls: int = 0
    ok: int = 0
    errors: int = 0
    unknown: int = 0
    duration_seconds: float = 0.0


class ToolRegistry:
    """The tools of one process. Grants are held in memory; whoever stores them restores them with `grant`."""

    def __init__(self, settings: ToolSettings | None = None, *, store_blob: StoreBlob | None = None) -> None:
        settings = settings or ToolSettings()
        self.folders = usable_folders(settings.allowed_folders)
        self.scrub = Scrubber(settings.secrets)
        self.threads = Threads(settings.most_threads)
        self.store_blob = store_blob
        self._goal_tools = dict(settings.goal_tools)
        self._rates = RateLimits(settings.rate_per_minute, settings.tool_rates)
        self._tools: dict[str, Tool] = {}
        self._grants: dict[str, frozenset[str]] = {}
        self._usage: dict[str, ToolUsage] = {}
        self._resources: dict[str, object] = {}

    @property
    def resources(self) -> Mapping[str, object]:
        """What tools are lent, by name."""
        return MappingProxyType(self._resources)

    def provide(self, name: str, resource: object) -> None:
        """Lend something to tools, as `ctx.resources[name]`. Whoever made it closes it.

        Raises:
            ConfigInvalid: If something else has that name.
        """
        if self._resources.setdefault(name, resource) is not resource:
            raise ConfigInvalid(f"Tools are lent a resource {name!r} already; give this one another name.")

    def register(self, thing: Tool | Callable[..., object]) -> None:
        """Add a tool, or a function marked with `@tool`. Adding the same one again changes nothing.

        Raises:
            ConfigInvalid: If it is no tool, or another tool has its name.
        """
        made = thing if isinstance(thing, Tool) else tool_of(thing)
        if made is None:
            raise ConfigInvalid(f"{thing!r} is no tool; put `@tool()` above the function.")
        name = made.spec.name
        held = self._tools.setdefault(name, made)
        if held is not made:
            raise ConfigInvalid(f"Two tools are called {name!r}, in {held.module} and {made.module}; rename one.")

    def load_modules(self, names: Iterable[str]) -> None:
        """Import modules and add every tool found in them.

        Raises:
            ConfigInvalid: If a module cannot be imported, holds no tool, or a tool that clashes.
        """
        for name in names:
            module = self._imported(name)
            found = {id(made): made for made in map(tool_of, vars(module).values()) if made is not None}
            if not found:
                raise ConfigInvalid(
                    f"The tool module {name!r} holds no tool; name a module with functions under `@tool()`, "
                    "or take it out of the setting `tools.modules`."
                )
            for made in found.values():
                self.register(made)

    def load_builtin(self) -> None:
        """Add the built-in tools; those that read files only where a folder is open to them."""
        self.load_modules((BUILTIN_MODULE, *(FILE_MODULES if self.folders else ())))

    def find(self, name: str) -> Tool | None:
        """Return a tool by its name, or None."""
        return self._tools.get(name)

    def get(self, name: str) -> Tool:
        """Return a tool by its name.

        Raises:
            NotFound: If there is none.
        """
        if (found := self._tools.get(name)) is None:
            raise NotFound(f"There is no tool {name!r}; `evolvent tools list` shows those there are.")
        return found

    def specs(self, names: Iterable[str] | None = None) -> tuple[ToolSpec, ...]:
        """Return the specs of these tools in this order, or of all by name.

        Raises:
            NotFound: If there is no tool of a name given.
        """
        return tuple(self.get(name).spec for name in (sorted(self._tools) if names is None else names))

    def offered_to(self, agent: AgentSpec, goal: str) -> tuple[ToolSpec, ...]:
        """Return the tools that an agent is offered when it works for a goal."""
        return offered_tools(
            (tool.spec for tool in self._tools.values()),
            agent,
            granted=self.granted_to(agent.agent_id),
            in_goal=self._goal_tools.get(goal),
        )

    def grant(self, agent_id: str, tools: Iterable[str]) -> None:
        """Let an agent call restricted tools.

        Raises:
            NotFound: If there is no such tool. Nothing was granted.
            AdminOnly: If a tool is for operators. Nothing was granted.
        """
        names = frozenset(tools)
        for name in sorted(names):
            if self.get(name).spec.access is Access.ADMIN:
                raise AdminOnly(f"Tool {name!r} is for operators only and can be granted to no agent.")
        self._grants[agent_id] = self.granted_to(agent_id) | names

    def revoke(self, agent_id: str, tools: Iterable[str]) -> None:
        """Take grants back; tools that were not granted are passed over."""
        self._grants[agent_id] = self.granted_to(agent_id) - frozenset(tools)

    def granted_to(self, agent_id: str) -> frozenset[str]:
        """Return the tools granted to an agent."""
        return self._grants.get(agent_id, frozenset())

    def admit(self, name: str, agent_id: str, *, offered: frozenset[str], now: float) -> Tool:
        """Return the tool if this agent may call it now.

        Args:
            name: What is called, as the model wrote it.
            agent_id: Who calls.
            offered: The names that this agent was offered.
            now: Monotonic seconds.

        Raises:
            UnknownTool: If there is no such tool.
            AdminOnly: If it is for operators.
            NotOffered: If it was not offered.
            RateLimited: If it was called too often.
        """
        tool = self._tools.get(name)
        if tool is None:
            raise UnknownTool(f"There is no tool {name[:64]!r}; call one of those offered. Nothing was done.")
        if tool.spec.access is Access.ADMIN:
            raise AdminOnly(f"Tool {name!r} is for operators only; no agent may call it. Nothing was done.")
        if name not in offered:
            raise NotOffered(
                f"Tool {name!r} is not offered to this agent; call one of those offered. Nothing was done."
            )
        if wait := self._rates.seconds_to_wait(agent_id, name, now):
            raise RateLimited(
                f"Tool {name!r} was called too often; wait {wait:.0f} s. Nothing was done.", retry_after_seconds=wait
            )
        return tool

    def count(self, name: str, outcome: ToolOutcome, duration_seconds: float) -> None:
        """Count a call that ended. Names that are no tool's are not counted: models invent them without end."""
        if name not in self._tools:
            return
        if (usage := self._usage.get(name)) is None:
            usage = self._usage[name] = ToolUsage()
        usage.calls += 1
        usage.duration_seconds += duration_seconds
        match outcome:
            case ToolOutcome.OK:
                usage.ok += 1
            case ToolOutcome.ERROR:
                usage.errors += 1
            case ToolOutcome.UNKNOWN:
                usage.unknown += 1

    def usage(self) -> Mapping[str, ToolUsage]:
        """Return the counts of every tool that was called."""
        return dict(self._usage)

    def _imported(self, name: str) -> ModuleType:
        try:
            return importlib.import_module(name)
        # A user's module may raise anything while it is imported.
        except (Exception, SystemExit) as error:
            reason = self.scrub(f"{type(error).__name__}: {error}")
            raise ConfigInvalid(
                f"The tool module {name!r} cannot be loaded ({reason}); correct it, or take it out of `tools.modules`."
            ) from error
