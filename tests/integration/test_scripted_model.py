"""The scripted model server as a process of its own, spoken to as any client would."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "script.json").write_text('{"default": {"text": "You said: {{ user }}"}}')
    command = [sys.executable, "-m", "evolvent.platform.scripted_model", "--script", str(tmp_path / "script.json")]
    command += ["--port-file", str(tmp_path / "port")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert (tmp_path / "port").read_text().strip() == url
        yield url
        process.terminate()
        assert process.wait(timeout=10) == 0


def send(url: str, payload: object = None, *, method: str | None = None, **headers: str) -> tuple[int, Any, Any]:
    body = None if payload is None else json.dumps(payload).encode()
    request = urllib.request.Request(url, body, {"content-type": "application/json", **headers}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, response.headers, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, json.loads(error.read())


CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}


def test_serves_answers_models_faults_and_the_ledger(url: str) -> None:
    root = url.removesuffix("/v1")
    status, headers, answer = send(f"{url}/chat/completions", CHAT)
    assert (status, headers["x-evolvent-scripted"]) == (200, "1")
    assert answer["system_fingerprint"] == "scripted"
    assert answer["choices"][0]["message"]["content"] == "You said: hello"
    assert answer["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}
    assert send(f"{url}/models")[2]["data"][0]["id"] == "scripted"

    assert send(f"{root}/faults", {"kind": "rate_limit", "times": 1, "retry_after": 3})[0] == 200
    status, headers, _ = send(f"{url}/chat/completions", CHAT)
    assert (status, headers["retry-after"]) == (429, "3")
    assert send(f"{url}/chat/completions", CHAT)[0] == 200
    assert send(f"{root}/faults")[2]["faults"][0]["played"] == 1
    assert send(f"{root}/faults", method="DELETE")[2] == {"faults": []}
    assert send(f"{root}/faults", {"kind": "meteor"})[0] == 400

    status, _, _ = send(f"{url}/chat/completions", CHAT, **{"x-evolvent-fault": "server_error; status=503"})
    assert status == 503
    book = send(f"{root}/ledger")[2]
    assert book["totals"]["requests"] == 4
    assert book["totals"]["answered"] == 2
    assert book["totals"]["billed"] == {"m": {"calls": 2, "prompt_tokens": 4, "completion_tokens": 8}}
    assert [call["fault"] for call in book["calls"]] == [None, "rate_limit", None, "server_error"]


def test_refuses_what_it_cannot_read(url: str) -> None:
    assert send(f"{url}/chat/completions", {"model": "m"})[0] == 400
    assert send(f"{url}/elsewhere")[0] == 404


def test_a_wrong_script_ends_the_process_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("rules: [{name: r}]")
    command = [sys.executable, "-m", "evolvent.platform.scripted_model", "--script", str(tmp_path / "s.yaml")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 2
    assert "must be a mapping with a list of 'turns'" in ended.stderr
