"""Requests to the loopback Hub, who makes them, and its answers."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class Request:
    """A request. `path` is as sent, so that a branch `a%2Fb` is one part of it; header names are in lower case."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization", "").removeprefix("Bearer ") or None

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Account:
    """Who a token stands for.

    Attributes:
        name: of the user.
        role: `write`, `read` or `fineGrained`.
        orgs: organisations the user may write to.
    """

    name: str
    role: str = "write"
    orgs: tuple[str, ...] = ()


@dataclass
class Answer:
    """An answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, value: Any, status: int = 200, headers: Mapping[str, str] = NOTHING) -> "Answer":
        return cls(status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers})


def cut(request: Request, data: bytes, headers: dict[str, str]) -> Answer:
    """A content, or the range of it that was asked for."""
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    headers = {"Accept-Ranges": "bytes", **headers}
    if not asked:
        return Answer(200, data, headers)
    start, end = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
    if start >= len(data):
        return Answer(416, headers={"Content-Range": f"bytes */{len(data)}"})
    return Answer(206, data[start : end + 1], {"Content-Range": f"bytes {start}-{end}/{len(data)}", **headers})
