"""The batch endpoint of OpenAI on loopback: files, batches, results; answers as `chat_server` does."""

import email.parser
import email.policy
import json
import re
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from .chat_server import Body, captions, tokens_of


class BatchServer:
    """Serves while it is entered.

    Args:
        answer: of a request, as `captions`.
        fails: whether a request, by its number in all, fails.
        polls: times a batch says that it is in progress.
        status: in which a batch ends.
    """

    def __init__(
        self,
        answer: Callable[[Body], Any] = captions,
        fails: Callable[[int], bool] = lambda number: False,
        polls: int = 1,
        status: str = "completed",
    ) -> None:
        self.answer, self.fails, self.polls, self.status = answer, fails, polls, status
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, Body] = {}
        self.seen: Counter[str] = Counter()
        self.requests = self.tokens_in = self.tokens_out = 0
        self.asked: Counter[str] = Counter()
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                with outer.lock:
                    self._send(*outer.get(self.path))

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.lock:
                    self._send(*outer.post(self.path, data, self.headers.get("Content-Type", "")))

            def _send(self, status: int, payload: Any) -> None:
                data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "BatchServer":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def post(self, path: str, data: bytes, content_type: str) -> tuple[int, Any]:
        if path == "/v1/files":
            head = f"Content-Type: {content_type}\r\n\r\n".encode()
            parts = email.parser.BytesParser(policy=email.policy.default).parsebytes(head + data)
            content = next(
                part.get_payload(decode=True)
                for part in parts.iter_parts()
                if part.get_filename()  # type: ignore[attr-defined]
            )
            name = f"file-{len(self.files)}"
            self.files[name] = content
            return 200, {"id": name, "object": "file", "bytes": len(content), "created_at": 1, "filename": "x",
                         "purpose": "batch", "status": "processed"}  # fmt: skip
        body = json.loads(data)
        name = f"batch-{len(self.batches)}"
        batch = {"id": name, "object": "batch", "endpoint": body["endpoint"], "created_at": 1, "status": "in_progress",
                 "completion_window": "24h", "input_file_id": body["input_file_id"]}  # fmt: skip
        self.batches[name] = batch
        self._answer(batch)
        return 200, batch

    def get(self, path: str) -> tuple[int, Any]:
        if match := re.fullmatch(r"/v1/files/(.+)/content", path):
            return 200, self.files[match[1]]
        if match := re.fullmatch(r"/v1/batches/(.+)", path):
            batch = self.batches[match[1]]
            self.seen[match[1]] += 1
            done = self.seen[match[1]] > self.polls
            results = {"output_file_id": f"out-{match[1]}", "error_file_id": f"err-{match[1]}"}
            return 200, {**batch, "status": self.status, **results} if done else batch
        return 200, {"object": "list", "data": list(self.batches.values()), "has_more": False}

    def _answer(self, batch: Body) -> None:
        good, bad = [], []
        for line in self.files[batch["input_file_id"]].splitlines():
            wanted = json.loads(line)
            body = wanted["body"]
            self.asked[wanted["custom_id"]] += 1
            number, self.requests = self.requests, self.requests + 1
            if self.fails(number):
                error = {"custom_id": wanted["custom_id"], "response": None, "error": {"message": "expired"}}
                bad.append(json.dumps(error))
                continue
            tokens = tokens_of(body)
            self.tokens_in, self.tokens_out = self.tokens_in + tokens[0], self.tokens_out + tokens[1]
            found = self.answer(body)
            message = {"role": "assistant", "content": found if isinstance(found, str) else json.dumps(found)}
            completion = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                          "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}}  # fmt: skip
            response = {"status_code": 200, "body": completion}
            good.append(json.dumps({"custom_id": wanted["custom_id"], "response": response, "error": None}))
        self.files[f"out-{batch['id']}"] = "\n".join(reversed(good)).encode()
        self.files[f"err-{batch['id']}"] = "\n".join(bad).encode()
