"""`@tool`: makes a function a tool by marking it. Nothing is registered until its module is loaded."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from evolvent.events.language.tools import Access, Effect, ToolSpec
from evolvent.orchestrator.tools.context import ReconcileResult, ToolContext
from evolvent.orchestrator.tools.refusals import ToolInvalid
from evolvent.orchestrator.tools.signature import Signature, read_signature

Reconcile = Callable[[dict[str, Any], ToolContext], Awaitable[ReconcileResult]]
F = TypeVar("F", bound=Callable[..., object])
_Member = TypeVar("_Member", Access, Effect)

_MARK = "__evolvent_tool__"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """A tool as it is run: its spec, and the code behind it. It never travels; the spec does."""

    spec: ToolSpec
    function: Callable[..., object]
    check: Callable[[Mapping[str, object]], dict[str, Any]]
    """Turns a model's arguments into the function's, or raises BadArguments."""
    is_async: bool = True
    """A function that is not is run in a thread."""
    takes_context: bool = False
    reconcile: Reconcile | None = None
    module: str = ""


def tool(
    name: str | None = None,
    description: str | None = None,
    *,
    category: str = "general",
    access: Access | Literal["public", "restricted", "admin"] = Access.PUBLIC,
    effect: Effect | Literal["pure", "read", "idempotent", "keyed", "irreversible"] = Effect.IRREVERSIBLE,
    timeout_seconds: float = 30.0,
    origin: Literal["tool", "web"] = "tool",
    reconcile: Reconcile | None = None,
) -> Callable[[F], F]:
    """Mark a function, async or not, as a tool. It stays the function that it was.

    Args:
        name: What agents call it; the function's name by default.
        description: What agents read; the beginning of its docstring by default.
        category: A word to group tools by.
        access: Who is offered it: everybody, agents it is granted to, or operators.
        effect: What calling it does to the world. Undeclared means irreversible: never repeated on a guess.
        timeout_seconds: How long a call may take.
        origin: `web` where its results hold text that strangers wrote.
        reconcile: Asks the world whether a call of unknown end took place.

    Raises:
        ToolInvalid: If the function cannot be a tool.
    """

    # Longer than most functions: its parameters are public API, and each must be told.
    def mark(function: F) -> F:
        own_name = str(name or getattr(function, "__name__", ""))
        _require_usable(function, own_name, timeout_seconds)
        signature = read_signature(function, own_name)
        spec = ToolSpec(
            name=own_name,
            description=description or _first_paragraph(function.__doc__ or ""),
            category=category,
            access=_member(Access, access, own_name),
            effect=_member(Effect, effect, own_name),
            parameters=signature.parameters,
            timeout_seconds=timeout_seconds,
            reconcilable=reconcile is not None,
            origin=origin,
        )
        setattr(function, _MARK, _made(function, spec, signature, reconcile))
        return function

    if callable(name):
        raise ToolInvalid("Write `@tool()` with its parentheses above the function.")
    return mark


def tool_of(thing: object) -> Tool | None:
    """Return the tool that a function was marked as, if it was.

    Raises:
        ToolInvalid: If the function wraps a tool: the mark was copied onto it, and calls would pass it by.
    """
    found = getattr(thing, _MARK, None) if callable(thing) else None
    if not isinstance(found, Tool):
        return None
    if found.function is not thing:
        raise ToolInvalid(f"Tool {found.spec.name!r} is wrapped by another decorator; put `@tool()` above all others.")
    return found


def _made(function: Callable[..., object], spec: ToolSpec, signature: Signature, reconcile: Reconcile | None) -> Tool:
    return Tool(
        spec=spec,
        function=function,
        check=signature.check,
        is_async=inspect.iscoroutinefunction(function),
        takes_context=signature.takes_context,
        reconcile=reconcile,
        module=function.__module__,
    )


def _member(kind: type[_Member], value: str, name: str) -> _Member:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(kind)
        raise ToolInvalid(f"Tool {name!r} has {kind.__name__.lower()}={value!r}; use one of {known}.") from None


def _require_usable(function: Callable[..., object], name: str, timeout_seconds: float) -> None:
    held = getattr(function, _MARK, None)
    if isinstance(held, Tool) and held.function is function:
        raise ToolInvalid(f"{name!r} is a tool already; mark a function of its own.")
    if not _NAME.fullmatch(name):
        raise ToolInvalid(f"A tool cannot be called {name!r}; use 1 to 64 of letters, digits, '_' and '-'.")
    if inspect.isclass(function) or inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ToolInvalid(f"Tool {name!r} must be a plain function or a coroutine function that returns its result.")
    if not 0 < timeout_seconds <= 86_400:
        raise ToolInvalid(f"Tool {name!r} has timeout_seconds={timeout_seconds}; use more than 0, and a day at most.")


def _first_paragraph(docstring: str) -> str:
    return " ".join(inspect.cleandoc(docstring).split("\n\n")[0].split())
