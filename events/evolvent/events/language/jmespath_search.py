"""JMESPath within bounds: an expression may double its input at every step, so every step is measured."""

from __future__ import annotations

from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import TreeInterpreter

from evolvent.events.language.json_bounds import BadJson, measure

MAX_EXPRESSION_CHARACTERS = 2_000
MAX_STEPS = 300_000
MAX_WORK = 2_000_000
_GROWING = frozenset({"multi_select_list", "multi_select_dict", "flatten", "function_expression", "projection"})


class SearchFailed(Exception):
    """The expression cannot be read, does not fit the value, or makes too much of it."""


def search(expression: str, value: object) -> Any:
    """Return what a JMESPath expression finds in a value.

    Raises:
        SearchFailed: saying why.
    """
    compiled = _compile(expression)
    try:
        found = _Bounded().visit(compiled, value)
        measure(found)
    except BadJson as problem:
        raise SearchFailed(f"the result {problem}") from problem
    except (JMESPathError, RecursionError, TypeError, ValueError, ArithmeticError, LookupError) as problem:
        raise SearchFailed(_line(problem)) from problem
    return found


def check_expression(expression: str) -> str | None:
    """Return why an expression cannot be read, or None where it can."""
    try:
        _compile(expression)
    except SearchFailed as problem:
        return str(problem)
    return None


class _Bounded(TreeInterpreter):
    """The interpreter, with a count of its steps and of everything that they make."""

    def __init__(self) -> None:
        super().__init__()
        self._steps = 0
        self._work = 0

    def visit(self, node: Any, *args: Any, **kwargs: Any) -> Any:
        self._steps += 1
        if self._steps > MAX_STEPS:
            raise SearchFailed(f"the expression takes more than {MAX_STEPS} steps")
        result = super().visit(node, *args, **kwargs)
        if node["type"] in _GROWING:
            self._work += measure(result)
            if self._work > MAX_WORK:
                raise SearchFailed(f"the expression makes more than {MAX_WORK} values on its way")
        return result


def _compile(expression: str) -> Any:
    if len(expression) > MAX_EXPRESSION_CHARACTERS:
        raise SearchFailed(f"the expression is longer than {MAX_EXPRESSION_CHARACTERS} characters")
    try:
        return jmespath.compile(expression).parsed
    except (JMESPathError, RecursionError, ValueError) as problem:
        raise SearchFailed(_line(problem)) from problem


def _line(problem: BaseException) -> str:
    return " ".join(str(problem).split())[:300] or type(problem).__name__
