"""What can go wrong between us and a log server."""

from __future__ import annotations

from evolvent.events.errors import Category, EvolventError, PermissionDenied


class LogServerUnavailable(EvolventError):
    """The log server cannot be reached or does not answer in time; check `tools.logs` and try again."""

    code, category, retryable = "logs.unavailable", Category.NETWORK, True


class LogServerDenied(PermissionDenied):
    """The log server refuses this account; check its token, roles and capabilities. Nothing was searched."""

    code = "logs.denied"


class LogServerRefused(EvolventError):
    """The log server refused the request; change it as the message says. Nothing was searched."""

    code, category = "logs.refused", Category.VALIDATION


class LogAnswerInvalid(EvolventError):
    """The log server's answer cannot be used; ask for less, or check that the address is its management port."""

    code, category = "logs.answer_invalid", Category.TOOL
