"""corpora check: do the addresses of the registry still answer, and with what was published?

A few bytes of each file are asked for by a ranged GET: some hosts refuse HEAD, and a page of the wrong kind only shows
in its first bytes. Hub addresses are looked up in the listing of their revision, buckets through fsspec, a catalogue by
its collection. Nothing is fetched.
"""

import fnmatch
import os
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx2

from fusionrs_builder.corpora import registry
from fusionrs_builder.corpora.address import Address
from fusionrs_builder.corpora.remote import scrub, words
from fusionrs_builder.errors import UsageError

BROKEN = ("gone", "wrong size", "HTML page", "other content", "needs login", "unreachable")
"""Verdicts on an address that cannot be fetched as it stands; the others are ok, moved, not checked."""

SNIFFED = 512
"""Bytes asked for: a tar shows what it is at byte 257."""

AT_ONCE, PER_HOST = 16, 4
"""Addresses asked for at once, over all hosts and of one."""

TRIES, PAUSE_S = 2, 1.0
"""A host that is busy or cuts the line is asked again after a pause."""

MAX_REDIRECTS = 8

MAGIC: dict[str, tuple[int, tuple[bytes, ...]]] = {
    ".zip": (0, (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")),
    **dict.fromkeys((".gz", ".tgz"), (0, (b"\x1f\x8b",))),
    **dict.fromkeys((".bz2", ".tbz2", ".tbz"), (0, (b"BZh",))),
    **dict.fromkeys((".xz", ".txz"), (0, (b"\xfd7zXZ\0", b"\x5d\0\0"))),
    **dict.fromkeys((".zst", ".tzst"), (0, (b"\x28\xb5\x2f\xfd",))),
    ".7z": (0, (b"7z\xbc\xaf\x27\x1c",)),
    ".rar": (0, (b"Rar!\x1a\x07",)),
    ".tar": (257, (b"ustar",)),
    ".parquet": (0, (b"PAR1",)),
    **dict.fromkeys((".tif", ".tiff"), (0, (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))),
    ".png": (0, (b"\x89PNG",)),
    **dict.fromkeys((".jpg", ".jpeg"), (0, (b"\xff\xd8",))),
}
"""Where a file of a suffix says what it is, and how."""

Answer = tuple[str, str, int | None]
"""Verdict, detail, size."""

HUB = re.compile(r"hf://(?:(?P<type>datasets|models|spaces)/)?(?P<repo>[^/@]+/[^/@]+)@(?P<revision>[^/]+)/(?P<path>.+)")
"""An address on the Hub; without its kind, a model."""

GITHUB_LFS = b"version https://git-lfs"


@dataclass(frozen=True)
class Health:
    """What was found at one address.

    Attributes:
        corpus: whose it is.
        url: the address.
        verdict: ok, moved, not checked, or one of `BROKEN`.
        detail: what was seen, in words.
        bytes: size, as the host says.
    """

    corpus: str
    url: str
    verdict: str
    detail: str = ""
    bytes: int | None = None

    @property
    def broken(self) -> bool:
        return self.verdict in BROKEN


def check(names: Sequence[str] = (), timeout: float = 15.0) -> list[Health]:
    """Look at every address of the named corpora, or of all.

    Args:
        names: of registry entries; none means all of them.
        timeout: seconds a host may be silent.

    Raises:
        UsageError: the registry has no such corpus.
    """
    tasks: list[tuple[str, Address | None]] = []
    for name in names or registry.names():
        entry = registry.entry(name)
        if entry is None:
            raise UsageError(f"unknown corpus {name}: the registry has {', '.join(registry.names())}")
        addresses = [file.model_copy(update={"url": url}) for file in entry.files for url in (file.url, *file.mirrors)]
        if entry.stac:
            url = f"{entry.stac.url.rstrip('/')}/collections/{entry.stac.collection}"
            addresses.append(Address(url=url, to="collection.json"))
        tasks += [(name, address) for address in addresses] or [(name, None)]
    checker = _Checker(timeout)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = list(pool.map(lambda task: checker.look(*task), tasks))
    checker.client.close()
    return found


class _Checker:
    """Asks hosts, no more than `PER_HOST` at a time of one."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.client = httpx2.Client(
            timeout=timeout, follow_redirects=True, max_redirects=MAX_REDIRECTS, headers={"Accept-Encoding": "identity"}
        )
        self._gates: dict[str, threading.Semaphore] = defaultdict(lambda: threading.Semaphore(PER_HOST))
        self._lock = threading.Lock()
        self._dead: dict[str, str] = {}  # no connection could be made to them
        self._listings: dict[tuple[str, ...], Future[dict[str, int | None]]] = {}

    def look(self, corpus: str, address: Address | None) -> Health:
        """One address; None where the entry has none."""
        if address is None:
            return Health(corpus, "", "not checked", "no address: see `corpora show`")
        scheme, host, *_ = urlsplit(address.url)
        looks: dict[str, Callable[[Address], Answer]] = {"http": self._http, "https": self._http, "hf": self._hub}
        look = looks.get(scheme, _bucket)
        with self._lock:
            gate = self._gates["hf" if scheme == "hf" else host]
        with gate:
            verdict, detail, size = look(address)
        if verdict in ("ok", "moved") and size is not None and address.bytes is not None and size != address.bytes:
            verdict, detail = "wrong size", f"{size:,} bytes instead of {address.bytes:,}"
        return Health(corpus, address.url, verdict, detail, size)

    def _http(self, address: Address) -> Answer:
        host = urlsplit(address.url).netloc
        for tries_left in reversed(range(TRIES)):
            if host in self._dead:
                return "unreachable", self._dead[host], None
            try:
                answer = self._asked(address)
            except httpx2.TooManyRedirects:
                return "unreachable", f"more than {MAX_REDIRECTS} redirects", None
            except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
                answer = "unreachable", words(error)[:120], None
                if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout) and not tries_left:
                    self._dead[host] = answer[1]
            if answer[0] != "unreachable" or not tries_left:
                break
            time.sleep(PAUSE_S)
        return answer

    def _asked(self, address: Address) -> Answer:
        """One GET, closed after its first bytes."""
        with self.client.stream("GET", address.url, headers={"Range": f"bytes=0-{SNIFFED - 1}"}) as response:
            status, size = response.status_code, _size(response)
            problem = {401: "needs login", 403: "needs login", 404: "gone", 410: "gone"}.get(status)
            if problem:
                return problem, f"status {status}", None
            if status == httpx2.codes.RANGE_NOT_SATISFIABLE and size == 0:
                return "ok", "empty", 0
            if not response.is_success:
                return "unreachable", f"status {status}", None
            head = _head(response, time.monotonic() + self.timeout)
            place = response.url
            if response.history and re.search(
                r"(?:^|[/.])(?:log-?in|sign-?in|auth)\b", f"{place.host}{place.path}", re.IGNORECASE
            ):
                return "needs login", f"sent to {scrub(str(place))}", None
            if wrong := unlike(address, head, response.headers.get("content-type", "")):
                return *wrong, size
            permanent = [step for step in response.history if step.status_code in (301, 308)]
            if permanent and response.history[0] is permanent[0]:
                return "moved", f"now at {scrub(permanent[0].headers.get('location', str(place)))}", size
            return "ok", "", size

    def _hub(self, address: Address) -> Answer:
        from huggingface_hub import errors

        match = HUB.fullmatch(address.url)
        if match is None:
            return "gone", "not hf://datasets/ORG/NAME@REVISION/PATH", None
        place = ((match["type"] or "models").removesuffix("s"), match["repo"], match["revision"])
        with self._lock:
            first = place not in self._listings
            listing = self._listings.setdefault(place, Future())
        if first:  # the files of a repository are listed once, whatever comes of it
            try:
                listing.set_result(self._listed(*place))
            except Exception as error:
                listing.set_exception(error)
        try:
            files = listing.result()
        except errors.OfflineModeIsEnabled:
            return "not checked", "HF_HUB_OFFLINE is set", None
        except errors.GatedRepoError:
            return "needs login", "gated: its terms are to be accepted on the Hub", None
        except errors.RevisionNotFoundError:
            return "gone", f"{match['repo']} has no revision {match['revision']}", None
        except errors.RepositoryNotFoundError:
            return "gone", f"no repository {match['repo']}, or a private one", None
        except (httpx2.HTTPError, OSError) as error:
            return "unreachable", words(error)[:120], None
        path = unquote(match["path"])
        found = [size for file, size in files.items() if file == path or fnmatch.fnmatch(file, path)]
        if not found:
            return "gone", f"{match['repo']} has no {path} at {match['revision'][:12]}", None
        sizes = [size for size in found if size is not None]
        return "ok", f"{len(found)} files" if len(found) > 1 else "", sum(sizes) if len(sizes) == len(found) else None

    def _listed(self, kind: str, repo: str, revision: str) -> dict[str, int | None]:
        """Sizes of the files of a Hub repository at a revision."""
        import huggingface_hub

        api = huggingface_hub.HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        info: Any = api.repo_info(repo, repo_type=kind, revision=revision, files_metadata=True, timeout=self.timeout)
        return {file.rfilename: file.size for file in info.siblings or ()}


def _bucket(address: Address) -> Answer:
    """s3://, gs:// and file:// through fsspec."""
    import fsspec

    options: dict[str, dict[str, Any]] = {"s3": {"anon": True}, "gs": {"token": "anon"}}
    try:
        files, path = fsspec.core.url_to_fs(address.url, **options.get(urlsplit(address.url).scheme, {}))
        size = files.info(path)["size"]
        wrong = unlike(address, files.cat_file(path, start=0, end=SNIFFED), "")
    except ImportError as error:
        return "not checked", str(error), None
    except ValueError as error:
        return "gone", str(error), None
    except FileNotFoundError:
        return "gone", "no such file", None
    except PermissionError:
        return "needs login", "no right to read it", None
    except Exception as error:  # each store has errors of its own
        return "unreachable", words(error)[:120], None
    return (*wrong, size) if wrong else ("ok", "", size)


def unlike(address: Address, head: bytes, content_type: str) -> tuple[str, str] | None:
    """Verdict and detail, where the first bytes are not those of such a file."""
    name = address.name.lower()
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    is_page = start.startswith((b"<!doctype html", b"<html")) or content_type.startswith("text/html")
    if is_page and not name.endswith((".html", ".htm")):
        return "HTML page", "a page for people where a file should be"
    if head.startswith(GITHUB_LFS):
        return "other content", "a Git LFS pointer, not the file"
    if not head and name.endswith((*MAGIC, ".json", ".geojson")):
        return "other content", "empty"
    suffix = next((suffix for suffix in MAGIC if name.endswith(suffix)), "")
    if suffix:
        at, marks = MAGIC[suffix]
        if not any(head[at:].startswith(mark) for mark in marks):
            return "other content", f"begins with {head[at : at + 6]!r}: not {suffix}"
    elif name.endswith((".json", ".geojson")) and start[:1] not in (b"{", b"["):
        return "other content", f"begins with {head[:6]!r}: not JSON"
    elif name.endswith((".csv", ".txt", ".lst")) and b"\0" in head:
        return "other content", "not text"
    return None


def _head(response: httpx2.Response, until: float) -> bytes:
    """The first bytes of an answer, which may send everything."""
    head = b""
    for chunk in response.iter_raw(SNIFFED):
        head += chunk
        if len(head) >= SNIFFED or time.monotonic() > until:
            break
    return head[:SNIFFED]


def _size(response: httpx2.Response) -> int | None:
    """Size of the whole file, where the answer tells."""
    if match := re.search(r"/(\d+)$", response.headers.get("content-range", "")):
        return int(match[1])
    length = response.headers.get("content-length", "")
    whole = response.status_code == httpx2.codes.OK and "content-encoding" not in response.headers
    return int(length) if whole and length.isdigit() else None


def counted(found: Iterable[Health]) -> dict[str, int]:
    """How many addresses have each verdict, the most frequent first."""
    counts: dict[str, int] = defaultdict(int)
    for health in found:
        counts[health.verdict] += 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
