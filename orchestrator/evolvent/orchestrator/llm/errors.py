"""What can go wrong between us and a model server.

`sent` is the word that money hangs on: it is False only where it is proven that no request reached the
provider (connection refused, unknown host), because a lease proven unsent is released in full.
"""

from __future__ import annotations

from evolvent.events.errors import Category, EvolventError


class ModelError(EvolventError):
    """The model call failed; see the log line with this run_id. The provider may have billed it."""

    code, category = "model.failed", Category.SYSTEM

    def __init__(
        self, message: str | None = None, *, retry_after_seconds: float | None = None, sent: bool = True
    ) -> None:
        super().__init__(message, retry_after_seconds=retry_after_seconds)
        self.sent = sent


class ModelRateLimited(ModelError):
    """The provider asks for fewer calls; wait as long as it says and call again. Nothing was answered."""

    code, category, retryable = "model.rate_limited", Category.RESOURCE, True


class ModelUnavailable(ModelError):
    """The model server cannot be reached or failed; check that it runs and call again. Nothing was answered."""

    code, category, retryable = "model.unavailable", Category.NETWORK, True


class ModelTimeout(ModelError):
    """The model did not finish before the deadline; call again or allow more time. The call may be billed."""

    code, category, retryable = "model.timeout", Category.TIMEOUT, True


class ModelBadResponse(ModelError):
    """The model server's answer cannot be used; call again or check its address. The call may be billed."""

    code, category, retryable = "model.bad_response", Category.NETWORK, True


class ModelRefused(ModelError):
    """The model server refuses this request; correct what it names. Calling again would not help."""

    code, category = "model.refused", Category.VALIDATION


class ModelAccessDenied(ModelRefused):
    """The model server refuses our key; set a valid one (`OPENAI_API_KEY`). Nothing was answered."""

    code, category = "model.access_denied", Category.PERMISSION


class ModelQuotaExhausted(ModelRefused):
    """The provider's account has no credit left; top it up or change the key. Nothing was answered."""

    code, category = "model.quota_exhausted", Category.RESOURCE
