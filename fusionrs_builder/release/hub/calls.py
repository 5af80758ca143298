"""Calls to the Hub, made again where that may help, with errors that say what to do and never hold the token."""

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from fusionrs_builder.errors import FusionError, UsageError

T = TypeVar("T")

PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Between the tries of a call, seconds. Uploads, listings and reads wait up to 23 s more within each, by themselves."""

WINDOW_S = 300.0
"""Longest pause that the Hub may ask for: its requests are counted over 5 minutes."""

SILENT_S = 120.0
"""Silence after which a request is given up, seconds. The Hub itself gives a commit 60."""

PASSING = (408, 429, 500, 502, 503, 504)
"""Statuses that may be others the next time."""

AGAIN = "run the same command again; it goes on where it stopped"

SETTINGS = "https://huggingface.co/settings/tokens"


class Calls:
    """Makes calls about one repository.

    Args:
        repo_id: `ORG/NAME`.
        token: of the Hub; it is cut out of every message.
        say: is told of each pause.
    """

    def __init__(self, repo_id: str, token: str, say: Callable[[str], None]) -> None:
        self.repo_id, self.token, self.say = repo_id, token, say

    def __call__(self, doing: str, call: Callable[[], T]) -> T:
        """Make a call, up to six times where the reason may pass.

        Args:
            doing: what for, as it follows "could not".
            call: what may be made twice without harm, its answer lost the first time.

        Raises:
            UsageError: the token is wrong or may not do that, the repository is gated, or the client is offline.
            FusionError: any other reason.
        """
        import httpx2
        from huggingface_hub.errors import EntryNotFoundError

        for pause in (*PAUSES_S, None):
            try:
                return call()
            except FusionError:
                raise
            except (httpx2.HTTPError, EntryNotFoundError, OSError, ValueError, RuntimeError) as error:
                # The chain of causes is cut: it may hold what the message must not.
                if pause is None or not _passes(error):
                    raise self._explained(doing, error) from None
                pause = max(pause, _asked_pause(error))
                self.say(f"could not {doing} ({self._told(error)}): trying again in {pause:.0f} s")
                time.sleep(pause)
        raise AssertionError("the last try returns or raises")

    def redacted(self, text: str) -> str:
        return re.sub(r"\bhf_\w{4,}", "<token>", text.replace(self.token, "<token>"))

    def _told(self, error: BaseException) -> str:
        """What went wrong, in one line."""
        import httpx2

        status = _status(error)
        if status is not None:
            said = getattr(_root(error), "server_message", None) or ""
            return self.redacted(f"the Hub answered {status}{': ' if said else ''}{' '.join(said.split())}")
        if isinstance(_root(error), httpx2.TimeoutException):
            return f"no answer within {SILENT_S:.0f} s"
        return self.redacted(" ".join(f"{type(error).__name__}: {error}".split()))

    def _explained(self, doing: str, error: BaseException) -> FusionError:
        import httpx2
        from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled

        status, told = _status(error), self._told(error)
        failed = f"{self.repo_id}: could not {doing} ({told})"
        if isinstance(_root(error), OfflineModeIsEnabled):
            return UsageError(f"{self.repo_id}: HF_HUB_OFFLINE is set, so the Hub is not asked: unset it, then {AGAIN}")
        if isinstance(_root(error), GatedRepoError):
            return UsageError(f"{failed}: it is gated, ask its owner for access or name a repository of yours")
        if status == 401:
            return UsageError(
                f"{failed}: the Hub does not know the token; make one that may write at {SETTINGS}, then "
                "`hf auth login`, or set HF_TOKEN"
            )
        if status == 403:
            return UsageError(
                f"{failed}: make a token that may write to {self.repo_id.split('/')[0]} at {SETTINGS}, or name a "
                "repository of yours"
            )
        if status == 404:
            return FusionError(f"{failed}: it was removed or renamed, or the token may not see it; look, then {AGAIN}")
        if status == 412:
            return FusionError(changed_meanwhile(self.repo_id))
        if status == 429:
            return FusionError(f"{failed}: this account made too many requests; wait 5 minutes or more, then {AGAIN}")
        if status in PASSING:
            return FusionError(f"{failed}: the Hub is in trouble (https://status.huggingface.co); wait, then {AGAIN}")
        if isinstance(_root(error), httpx2.TransportError | ConnectionError):
            return FusionError(f"{failed}: mend the network, then {AGAIN}")
        return FusionError(f"{failed}: mend that, then {AGAIN}")


def changed_meanwhile(repo_id: str) -> str:
    return (
        f"{repo_id}: somebody changed main during the push, so this release was not published: look at what they did, "
        "then run the same command again"
    )


@contextmanager
def impatient() -> Iterator[None]:
    """Let no request of huggingface_hub wait in silence for ever: by itself it would."""
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils import _http

    factory = _http._GLOBAL_CLIENT_FACTORY  # the caller's, where they set one for a proxy

    def bound(request: Any) -> None:
        given = request.extensions.get("timeout", {})
        request.extensions["timeout"] = {
            kind: given.get(kind) or SILENT_S for kind in ("connect", "read", "write", "pool")
        }

    def bounded() -> Any:
        client = factory()
        hooks = client.event_hooks
        client.event_hooks = {**hooks, "request": [*hooks["request"], bound]}
        return client

    set_client_factory(bounded)
    try:
        yield
    finally:
        set_client_factory(factory)


def _root(error: BaseException) -> BaseException:
    """The first error of the chain that tells of HTTP or the network; the error itself where none does."""
    import httpx2

    found: BaseException | None = error
    while found is not None and not isinstance(found, httpx2.HTTPError | ConnectionError):
        found = found.__cause__
    return found or error


def _status(error: BaseException) -> int | None:
    response = getattr(_root(error), "response", None)
    return response.status_code if response is not None else None


def _passes(error: BaseException) -> bool:
    """Whether the next try may do better."""
    import httpx2
    from huggingface_hub.errors import OfflineModeIsEnabled

    root, status = _root(error), _status(error)
    if status is not None:
        return status in PASSING
    if isinstance(root, OfflineModeIsEnabled):
        return False
    # An answer that was cut short where its length was not told is no JSON.
    return isinstance(root, httpx2.TransportError | ConnectionError | TimeoutError | json.JSONDecodeError)


def _asked_pause(error: BaseException) -> float:
    """Seconds after which the Hub said it takes requests again."""
    from huggingface_hub.utils._http import parse_ratelimit_headers

    if _status(error) != 429:
        return 0.0
    told = parse_ratelimit_headers(_root(error).response.headers)  # type: ignore[attr-defined]
    return min(told.reset_in_seconds + 1.0, WINDOW_S) if told and told.remaining == 0 else 0.0
