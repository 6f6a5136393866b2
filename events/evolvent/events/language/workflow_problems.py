"""What is wrong with a workflow, in the form that lists show; and the errors that carry it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evolvent.events.errors import Category, EvolventError


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where it stands, what it is, what to do. `code` is its stable name."""

    where: str
    what: str
    remedy: str
    code: str = "invalid"

    def __str__(self) -> str:
        return f"{self.where}: {self.what} {self.remedy}"


class WorkflowInvalid(EvolventError):
    """The workflow cannot run; correct every problem listed and send it again. Nothing was stored."""

    code, category = "workflow.invalid", Category.VALIDATION

    def __init__(self, problems: Sequence[Problem], *, name: str = "") -> None:
        self.problems = tuple(problems)
        count = f"{len(self.problems)} problem{'s' if len(self.problems) != 1 else ''}"
        lines = "\n".join(f"- {problem}" for problem in self.problems)
        super().__init__(f"Workflow {name!r} cannot run; it has {count}:\n{lines}")


class ReferenceInvalid(EvolventError):
    """This is no reference; write ${tasks.NAME.output}, ${params.x}, ${context.x} or ${request.message}."""

    code, category = "reference.invalid", Category.VALIDATION


class ReferenceUnresolved(EvolventError):
    """A reference points at nothing; the message names its task and path. The task was not begun."""

    code, category = "reference.unresolved", Category.VALIDATION


class TransformFailed(EvolventError):
    """A transformation does not fit the output of its task; the message names the task and the path."""

    code, category = "transform.failed", Category.VALIDATION


class ParametersInvalid(EvolventError):
    """The parameters do not fit the workflow's schema; the message names each. Nothing was started."""

    code, category = "workflow.parameters", Category.VALIDATION
