"""The scripted model server: reads a request, asks the script, plays a fault where one is on, keeps the ledger.

It has no authentication and its admin paths switch faults: never bind it to more than loopback.

    POST /v1/chat/completions   answers, streamed or whole
    GET  /v1/models             one model, `scripted`
    GET  /ledger                totals and the latest calls
    GET, POST, DELETE /faults   what is on; switch one on (`{"kind": "hang", "times": 2}`); switch all off
"""

from __future__ import annotations

import asyncio
import json
import time

from evolvent.platform.scripted_model import completions
from evolvent.platform.scripted_model.chat import Answer, ChatRequest, Responder
from evolvent.platform.scripted_model.faults import Fault, FaultBoard, FaultKind
from evolvent.platform.scripted_model.http_protocol import Connection, Exchange, HttpRequest
from evolvent.platform.scripted_model.ledger import Ledger, LedgerCall
from evolvent.platform.scripted_model.script import Latency, Script

_SCRIPTED = "x-evolvent-scripted: 1\r\n"
_EVENTS = "text/event-stream"
_JSON = "application/json"
_PAGE = b"<!doctype html><html><head><title>Sign in</title></head><body>Sign in to this network.</body></html>"
_DRIP_SECONDS = 0.01
_REFUSALS = frozenset({FaultKind.RATE_LIMIT, FaultKind.QUOTA, FaultKind.SERVER_ERROR})


class ScriptedModelServer:
    """Serves a script over HTTP.

    Args:
        script: What to answer; without one, every answer says that it is scripted.
        responder: Takes the script's place where answers come from elsewhere, such as recorded traces.
        latency: Takes the place of the script's latency.

    Attributes:
        ledger: What was asked and answered.
        faults: The faults that are on; those of the script are there from the start.
    """

    def __init__(
        self, script: Script | None = None, *, responder: Responder | None = None, latency: Latency | None = None
    ) -> None:
        script = script or Script()
        self._responder = responder or script
        self.latency = latency or script.latency
        self.ledger = Ledger()
        self.faults = FaultBoard()
        for fault in script.faults:
            self.faults.add(fault)
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._base_url = ""

    @property
    def base_url(self) -> str:
        """What a client takes as its base URL: `http://127.0.0.1:<port>/v1`."""
        return self._base_url

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and return the base URL. Port 0 takes a free one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._handle, self._connections), host, port, backlog=1024
        )
        port = self._server.sockets[0].getsockname()[1]
        self._base_url = f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
        return self._base_url

    async def stop(self) -> None:
        """Stop listening and break every connection off."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            await connection.close()
        await self._server.wait_closed()
        self._server = None

    async def _handle(self, request: HttpRequest, exchange: Exchange) -> None:
        path = request.path.partition("?")[0].removeprefix("/v1").rstrip("/")
        match request.method, path:
            case "POST", "/chat/completions":
                await self._chat(request, exchange)
            case "GET", "/models":
                models = [{"id": "scripted", "object": "model", "created": 0, "owned_by": "evolvent"}]
                self._send_json(exchange, {"object": "list", "data": models})
            case "GET", "/ledger":
                self._send_json(exchange, self.ledger.as_json())
            case _, "/faults":
                self._switch_faults(request, exchange)
            case _:
                exchange.send(
                    404, completions.error_body("There is no such path.", kind="not_found"), headers=_SCRIPTED
                )

    async def _chat(self, raw: HttpRequest, exchange: Exchange) -> None:
        try:
            request = ChatRequest.parse(raw.body)
            header = raw.headers.get("x-evolvent-fault")
            fault = Fault.of_header(header) if header else None
        except ValueError as error:
            body = completions.error_body(str(error), kind="invalid_request_error")
            exchange.send(400, body, headers=_SCRIPTED)
            return
        try:
            answer = self._responder.answer(request)
        except Exception as error:  # noqa: BLE001  # whoever wrote the responder must read its mistake, not wait for it
            exchange.send(
                500, completions.error_body(f"The script failed: {error!r}", kind="script"), headers=_SCRIPTED
            )
            return
        fault = fault or self.faults.take(request, answer)
        answer, finish_reason = completions.capped(answer, request.max_tokens)
        if fault and fault.kind is FaultKind.BAD_ARGUMENTS:
            answer = completions.broken(answer)
        call = _entry(request, answer, fault)
        self.ledger.enter(call)
        if self.latency.fixed_ms:
            await asyncio.sleep(self.latency.fixed_ms / 1000)
        if fault and await _played(fault, request, answer, exchange):
            return
        await self._answer(request, answer, exchange, finish_reason=finish_reason, fault=fault)
        if fault is None or fault.kind is not FaultKind.CUT:
            self.ledger.answer(call)

    async def _answer(
        self, request: ChatRequest, answer: Answer, exchange: Exchange, *, finish_reason: str, fault: Fault | None
    ) -> None:
        with_usage = not (fault and fault.kind is FaultKind.NO_USAGE)
        created = int(time.time())
        per_token = self.latency.ms_per_token / 1000
        if not request.streamed:
            if per_token:
                await asyncio.sleep(per_token * answer.completion_tokens)
            body = completions.whole(
                request, answer, finish_reason=finish_reason, with_usage=with_usage, created=created
            )
            exchange.send(200, body, headers=_SCRIPTED)
            return
        events = list(
            completions.chunks(request, answer, finish_reason=finish_reason, with_usage=with_usage, created=created)
        )
        if fault and fault.kind is FaultKind.CUT:
            events = events[: max(1, len(events) // 2 - 1)]
        exchange.start(_EVENTS, headers=_SCRIPTED)
        for event in events:
            if per_token:
                await asyncio.sleep(per_token * answer.completion_tokens / len(events))
            await exchange.piece(event)
        exchange.end()

    def _switch_faults(self, request: HttpRequest, exchange: Exchange) -> None:
        if request.method == "DELETE":
            self.faults.clear()
        elif request.method == "POST":
            try:
                self.faults.add(Fault.model_validate_json(request.body))
            except ValueError as error:
                exchange.send(400, completions.error_body(str(error), kind="invalid_request_error"))
                return
        self._send_json(exchange, {"faults": self.faults.state()})

    def _send_json(self, exchange: Exchange, payload: object) -> None:
        exchange.send(200, json.dumps(payload).encode(), headers=_SCRIPTED)


def _entry(request: ChatRequest, answer: Answer, fault: Fault | None) -> LedgerCall:
    return LedgerCall(
        at=time.time(),
        model=request.model,
        prompt_tokens=request.prompt_tokens,
        completion_tokens=answer.completion_tokens,
        first_user_hash=request.first_user_hash,
        rule=answer.rule,
        turn=answer.turn,
        streamed=request.streamed,
        billed=fault is None or fault.kind not in _REFUSALS,
        fault=fault.kind if fault else None,
        extra=answer.extra,
    )


async def _played(fault: Fault, request: ChatRequest, answer: Answer, exchange: Exchange) -> bool:
    """Play a fault that takes the answer's place; say False where the answer follows after all."""
    match fault.kind:
        case FaultKind.RATE_LIMIT:
            body = completions.error_body("Scripted: too many requests.", kind="requests", code="rate_limit_exceeded")
            exchange.send(429, body, headers=f"{_SCRIPTED}retry-after: {fault.retry_after:g}\r\n")
        case FaultKind.QUOTA:
            body = completions.error_body("Scripted: no credit.", kind="insufficient_quota", code="insufficient_quota")
            exchange.send(429, body, headers=_SCRIPTED)
        case FaultKind.SERVER_ERROR:
            exchange.send(
                fault.status, completions.error_body("Scripted failure.", kind="server_error"), headers=_SCRIPTED
            )
        case FaultKind.HTML:
            exchange.send(200, _PAGE, content_type="text/html")
        case FaultKind.NO_CHOICES:
            await _send_without_choices(request, exchange)
        case FaultKind.HANG:
            await asyncio.Event().wait()
        case FaultKind.DISCONNECT:
            exchange.start(_EVENTS if request.streamed else _JSON, length=1000)
            await exchange.piece(b'data: {"id"' if request.streamed else b'{"id"')
            exchange.abort()
        case FaultKind.DRIP | FaultKind.ENDLESS:
            await _never_end(fault, request, exchange)
        case FaultKind.HUGE:
            await _send_huge(fault, request, exchange)
        case _:
            return False
    return True


async def _send_without_choices(request: ChatRequest, exchange: Exchange) -> None:
    body = completions.without_choices(request, created=int(time.time()))
    if not request.streamed:
        exchange.send(200, body, headers=_SCRIPTED)
        return
    exchange.start(_EVENTS, headers=_SCRIPTED)
    await exchange.piece(b"data: " + body + b"\n\ndata: [DONE]\n\n")
    exchange.end()


async def _never_end(fault: Fault, request: ChatRequest, exchange: Exchange) -> None:
    exchange.start(_EVENTS if request.streamed else _JSON, headers=_SCRIPTED)
    if fault.kind is FaultKind.DRIP:
        piece, pause = (b":" if request.streamed else b" "), _DRIP_SECONDS
    else:
        word = completions.event({"choices": [{"index": 0, "delta": {"content": "on and "}}]})
        piece, pause = (word if request.streamed else b" " * 16384), 0.0
        if not request.streamed:
            await exchange.piece(b'{"choices":')
    while True:
        await exchange.piece(piece)
        await asyncio.sleep(pause)


async def _send_huge(fault: Fault, request: ChatRequest, exchange: Exchange) -> None:
    if request.streamed:
        start, end = b'data: {"choices":[{"delta":{"content":"', b'"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    else:
        start, end = b'{"choices":[{"message":{"content":"', b'"},"finish_reason":"stop"}]}'
    filling = max(0, fault.size_bytes - len(start) - len(end))
    exchange.start(_EVENTS if request.streamed else _JSON, headers=_SCRIPTED, length=len(start) + filling + len(end))
    await exchange.piece(start)
    for left in range(filling, 0, -65536):
        await exchange.piece(b"x" * min(left, 65536))
    await exchange.piece(end)
