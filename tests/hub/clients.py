"""What makes the clients, unmodified, speak to the loopback Hub: in this process, or in one of their own."""

import os
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from .server import HubServer

STRANGE: list[str] = []
"""Hosts elsewhere that the clients of this process wanted to ask."""


def use(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    """Let the clients of this process go online, upload by plain LFS, and lose no time between tries."""
    import datasets.config
    from huggingface_hub import constants
    from huggingface_hub.utils import _detect_agent, _http

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", cache / "datasets")
    monkeypatch.setattr(_http, "time", SimpleNamespace(sleep=lambda seconds: None))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(_detect_agent, "_fetch_registry", lambda: None)  # once a day, from the Hub of the world
    monkeypatch.setattr(socket, "getaddrinfo", _loopback_only)
    STRANGE.clear()


LOOK_UP = socket.getaddrinfo


def _loopback_only(host: str, *rest: Any, **options: Any) -> Any:
    if host not in ("127.0.0.1", "localhost"):
        STRANGE.append(str(host))
        raise OSError(f"no host but this one is asked: {host}")
    return LOOK_UP(host, *rest, **options)


def environment(server: HubServer, token: str, home: Path) -> dict[str, str]:
    """Of a process whose clients know no other Hub."""
    found = {**os.environ, "HF_ENDPOINT": server.url, "HF_TOKEN": token, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0"}
    return {**found, "HF_HUB_DISABLE_XET": "1", "HF_UPDATE_DOWNLOAD_COUNTS": "0"}
