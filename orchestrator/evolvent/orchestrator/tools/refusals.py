"""Why a tool call was not made, or how it failed. Every one of these is shown to the model that asked."""

from __future__ import annotations

from evolvent.events.errors import Category, ConfigInvalid, EvolventError, PermissionDenied


class ToolInvalid(ConfigInvalid):
    """This function cannot be a tool; change its signature or its @tool line. Nothing was registered."""


class UnknownTool(PermissionDenied):
    """There is no such tool; call one of those offered. Nothing was done."""

    code = "tool.unknown"


class NotOffered(PermissionDenied):
    """This tool is not offered to this agent; call one of those offered. Nothing was done."""

    code = "tool.not_offered"


class AdminOnly(PermissionDenied):
    """This tool is for operators only; no agent may call it. Nothing was done."""

    code = "tool.admin_only"


class ShadowRefused(PermissionDenied):
    """A shadow run changes nothing, and this tool might; keep the call and compare it. Nothing was done."""

    code = "tool.shadow"


class RateLimited(EvolventError):
    """This agent called this tool too often; wait as long as the error says. Nothing was done."""

    code, category, retryable = "tool.rate_limited", Category.RESOURCE, True


class ToolBusy(EvolventError):
    """All threads for tools are taken; try again shortly. Nothing was done."""

    code, category, retryable = "tool.busy", Category.RESOURCE, True


class BadArguments(EvolventError):
    """The arguments do not fit the tool's parameters; correct the fields named and call again. Nothing was done."""

    code, category = "tool.bad_arguments", Category.VALIDATION


class BadResult(EvolventError):
    """The tool ended, but its result cannot be kept; it must return plain JSON data."""

    code, category = "tool.bad_result", Category.TOOL


class OutcomeUnknown(EvolventError):
    """It is not known whether the effect took place; reconcile it or ask a person. Never repeat it on a guess.

    A keyed or irreversible tool may raise this itself.
    """

    code, category = "tool.outcome_unknown", Category.TOOL


class ToolFailed(EvolventError):
    """The tool raised an error; change the arguments or try another way."""

    code, category = "tool.failed", Category.TOOL


class ToolUnreachable(EvolventError):
    """The tool could not reach what it asks; try again, or see that it is there."""

    code, category, retryable = "tool.unreachable", Category.NETWORK, True


class ToolTimeout(EvolventError):
    """The tool did not end within its time limit; ask for less, or try again."""

    code, category, retryable = "tool.timeout", Category.TIMEOUT, True


class FileRefused(PermissionDenied):
    """This path may not be read; name a plain file inside the allowed folders. Nothing was read."""

    code = "file.refused"


class FileMissing(EvolventError):
    """There is no such file in the allowed folders; list them with `list_files`. Nothing was read."""

    code, category = "file.not_found", Category.VALIDATION


class QueryInvalid(EvolventError):
    """The query cannot be searched for; correct it as the message says. Nothing was read."""

    code, category = "query.invalid", Category.VALIDATION
