"""The door to openai: every call to a model server leaves through here, and every vendor error ends here.

The SDK is slow to import (0.6-0.9 s) and to build (0.2 s), so both happen once, off the loop, at first use.
Its own retries are off and its `timeout=` bounds no call: one wall-clock deadline stands around everything.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from evolvent.events.errors import ConfigInvalid
from evolvent.events.language.conversation import ModelReply
from evolvent.orchestrator.llm.client import ModelRequest
from evolvent.orchestrator.llm.errors import (
    ModelAccessDenied,
    ModelBadResponse,
    ModelError,
    ModelQuotaExhausted,
    ModelRateLimited,
    ModelRefused,
    ModelTimeout,
    ModelUnavailable,
)
from evolvent.orchestrator.llm.stream import DONE, EventLines, ReplyFold
from evolvent.orchestrator.llm.wire import (
    ReplyLimits,
    body_json,
    clean,
    error_text,
    load_object,
    read_whole,
    retry_after,
)

if TYPE_CHECKING:
    import httpx2
    import openai

OutputCapField = Literal["max_tokens", "max_completion_tokens"]

_CONNECT_SECONDS = 10.0
_TRY_LATER = frozenset({408, 409, 423, 425})


@dataclass(frozen=True)
class _Sdk:
    client: openai.AsyncOpenAI
    openai: ModuleType
    httpx: ModuleType
    aiohttp: ModuleType


class OpenAIModel:
    """Any server that speaks chat completions: OpenAI, Ollama, vLLM, llama.cpp, gateways. One per process.

    Args:
        base_url: For example `https://api.openai.com/v1`.
        api_key: May be empty for local servers.
        limits: How much of an answer is read before it is refused.
        tolerate_missing_finish_reason: Accept a stream that ends without saying why, as some servers' do.
        output_cap_field: Name of the member that caps the output; by default the one that the host takes.

    Raises:
        ConfigInvalid: The address is no http or https address, or holds a user or password.
    """

    def __init__(
        self,
        base_url: str,
        api_key: SecretStr,
        *,
        limits: ReplyLimits | None = None,
        tolerate_missing_finish_reason: bool = False,
        output_cap_field: OutputCapField | None = None,
        max_connections: int = 1000,
    ) -> None:
        self._base_url = base_url
        self._api_key = api_key
        self._limits = limits or ReplyLimits()
        self._tolerant = tolerate_missing_finish_reason
        host = _checked_host(base_url)
        vendor = host == "api.openai.com" or host.endswith((".openai.com", ".openai.azure.com"))
        self._cap_field = output_cap_field or ("max_completion_tokens" if vendor else "max_tokens")
        self._max_connections = max_connections
        self._sdk: _Sdk | None = None
        self._building = asyncio.Lock()

    async def prepare(self) -> None:
        """Import the SDK and build its client now, so that the first call does not wait for it."""
        async with self._building:
            if self._sdk is None:
                self._sdk = await asyncio.to_thread(self._build)

    async def complete(self, request: ModelRequest, *, on_text: Callable[[str], None] | None = None) -> ModelReply:
        """Answer one turn; see `client.Model`."""
        if self._sdk is None:
            await self.prepare()
        assert self._sdk is not None
        if request.deadline_seconds <= 0:
            raise ModelTimeout("The deadline had passed before the model was asked; nothing was sent.", sent=False)
        try:
            async with asyncio.timeout(request.deadline_seconds) as deadline:
                return await self._ask(self._sdk, request, on_text)
        except TimeoutError as error:
            if not deadline.expired():
                raise  # not ours: whoever takes the text timed out
            raise ModelTimeout(
                f"{self._where(request)} did not finish within {request.deadline_seconds:g} s; the call may be billed."
            ) from error

    async def close(self) -> None:
        """Close the connections; calls in flight fail."""
        if self._sdk is not None:
            sdk, self._sdk = self._sdk, None
            await sdk.client.close()

    def _build(self) -> _Sdk:
        key = self._api_key.get_secret_value().strip()
        if not (key.isascii() and key.isprintable()):
            raise ModelAccessDenied("The API key holds characters that cannot be sent; copy it again.", sent=False)
        openai = importlib.import_module("openai")
        httpx = importlib.import_module("httpx2")
        aiohttp = importlib.import_module("aiohttp")
        transport = openai.DefaultAioHttpClient(
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=self._max_connections, keepalive_expiry=30.0),
            follow_redirects=False,  # a redirected prompt would reach a host that nobody configured
            event_hooks={"response": [_capping_hook(httpx.AsyncByteStream, self._limits)]},
        )
        client = openai.AsyncOpenAI(
            base_url=self._base_url,
            api_key=key or "none",
            max_retries=0,
            http_client=transport,
            default_headers={"Accept-Encoding": "identity"},
        )
        return _Sdk(client, openai, httpx, aiohttp)

    async def _ask(self, sdk: _Sdk, request: ModelRequest, on_text: Callable[[str], None] | None) -> ModelReply:
        try:
            response = await sdk.client.post(
                "/chat/completions",
                cast_to=sdk.httpx.Response,
                content=self._body(request, streamed=on_text is not None),
                stream=on_text is not None,
            )
            if on_text is None:
                return self._whole(request, response.content)
            try:
                return await self._streamed(request, response, on_text)
            finally:
                await response.aclose()
        except (sdk.openai.OpenAIError, sdk.httpx.HTTPError, sdk.httpx.InvalidURL, sdk.aiohttp.ClientError) as error:
            # an answer's body may quote our key: it stays out of the trace
            told = None if isinstance(error, sdk.openai.APIStatusError) else error
            raise self._translated(sdk, request, error) from told

    def _body(self, request: ModelRequest, *, streamed: bool) -> bytes:
        parameters = {
            "model": request.model,
            self._cap_field: request.max_tokens,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "presence_penalty": request.presence_penalty,
            "frequency_penalty": request.frequency_penalty,
            "stream": True if streamed else None,
            "stream_options": {"include_usage": True} if streamed else None,
        }
        return body_json(request.prompt_json, parameters)

    def _whole(self, request: ModelRequest, body: bytes) -> ModelReply:
        return read_whole(body, prompt_bytes=len(request.prompt_json), asked_model=request.model, limits=self._limits)

    async def _streamed(
        self, request: ModelRequest, response: httpx2.Response, on_text: Callable[[str], None]
    ) -> ModelReply:
        if "json" in response.headers.get("content-type", ""):  # a server that cannot stream
            reply = self._whole(request, await response.aread())
            if reply.text:
                on_text(reply.text)
            return reply
        fold = ReplyFold(max_tokens=request.max_tokens, limits=self._limits)
        async for data in _events(response):
            if data == DONE:
                break
            if text := fold.add(data):
                on_text(text)
        if not fold.finished and not self._tolerant:
            raise ModelBadResponse(
                f"{self._where(request)} ended its stream without a finish reason, so the answer may be cut off."
            )
        return fold.reply(prompt_bytes=len(request.prompt_json), asked_model=request.model)

    def _translated(self, sdk: _Sdk, request: ModelRequest, error: Exception) -> ModelError:
        if isinstance(error, sdk.openai.APIStatusError):
            return self._refusal(request, error)
        where = self._where(request)
        cause = next((cause for cause in _causes(error) if isinstance(cause, sdk.aiohttp.ClientError)), error)
        # These are raised only before a request is written; `ServerDisconnectedError` and friends are not among them.
        unsent = isinstance(
            cause, (sdk.aiohttp.ClientConnectorError, sdk.aiohttp.ConnectionTimeoutError, sdk.aiohttp.InvalidURL)
        )
        what = "could not be reached, nothing was sent" if unsent else "broke the connection"
        return ModelUnavailable(f"{where} {what} ({self._shown(str(cause) or type(cause).__name__)}).", sent=not unsent)

    def _refusal(self, request: ModelRequest, error: openai.APIStatusError) -> ModelError:
        status = error.status_code
        said = self._shown(error_text(_payload(error.response.content)) or error.response.reason_phrase)
        message = f"{self._where(request)} answered {status}: {said}"
        wait = retry_after(error.response.headers)
        if b"insufficient_quota" in error.response.content:
            return ModelQuotaExhausted(message)
        if status == 429:
            return ModelRateLimited(message, retry_after_seconds=wait)
        if status >= 500 or status in _TRY_LATER:
            return ModelUnavailable(message, retry_after_seconds=wait)
        return ModelAccessDenied(message) if status in (401, 403) else ModelRefused(message)

    def _where(self, request: ModelRequest) -> str:
        return f"Model {request.model!r} at {self._base_url}"

    def _shown(self, text: str) -> str:
        key = self._api_key.get_secret_value()
        return clean(text.replace(key, "***") if key else text)[:300]


async def _events(response: httpx2.Response) -> AsyncIterator[str]:
    lines = EventLines()
    async for piece in response.aiter_bytes():
        for data in lines.feed(piece):
            yield data
    for data in lines.end():
        yield data


def _checked_host(base_url: str) -> str:
    try:
        parts = urlsplit(base_url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc:  # not quoted: it may hold a password
        raise ConfigInvalid(
            "The model server's address must look like https://host/v1, without user or password; "
            "correct OPENAI_BASE_URL and put the key into OPENAI_API_KEY."
        )
    return parts.hostname or ""


def _capping_hook(byte_stream: type[Any], limits: ReplyLimits) -> Callable[[httpx2.Response], Awaitable[None]]:
    # The vendor's base class exists only once the vendor is imported, so this class is made then, once.
    class CappedStream(byte_stream):  # type: ignore[misc]  # a class known only at run time
        def __init__(self, inner: Any, cap: int) -> None:
            self._inner, self._cap = inner, cap

        async def __aiter__(self) -> AsyncIterator[bytes]:
            seen = 0
            async for piece in self._inner:
                seen += len(piece)
                if seen > self._cap:
                    raise ModelBadResponse(f"The model server's answer is larger than {self._cap} bytes.")
                yield piece

        async def aclose(self) -> None:
            await self._inner.aclose()

    async def stand_before_the_body(response: httpx2.Response) -> None:
        """Cap everything that reads a body, bodies of errors included."""
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":  # a small body could unpack to gigabytes
            raise ModelBadResponse(
                f"The model server packs its answers ({clean(encoding)[:40]!r}) though we asked for plain ones."
            )
        streamed = "event-stream" in response.headers.get("content-type", "")
        response.stream = CappedStream(response.stream, limits.stream_bytes if streamed else limits.body_bytes)

    return stand_before_the_body


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _payload(body: bytes) -> object:
    try:
        return load_object(body)
    except ModelBadResponse:  # an error page; its status says enough
        return None
