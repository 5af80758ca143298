"""`corpora check` against hosts on loopback that answer in every way a publisher's may."""

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import pytest

from fusionrs_builder.corpora import check, registry
from fusionrs_builder.corpora.address import Address
from fusionrs_builder.errors import UsageError

ZIP = b"PK\x03\x04" + bytes(96)
REVISION = "0123456789abcdef0123456789abcdef01234567"

Answer = tuple[int, dict[str, str], bytes]


class Host:
    """A web server; `answers` says what it gives for a path, `asked` what it was asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | list[Answer]] = {}
        self.asked: list[tuple[str, str, str]] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.split("?")[0]
                host.asked.append((self.command, path, self.headers.get("Range", "")))
                given = host.answers.get(path, (404, {}, b"no"))
                status, headers, body = (
                    (given.pop(0) if len(given) > 1 else given[0]) if isinstance(given, list) else given
                )
                if status == 0:  # stalls
                    self.rfile.read(1)
                    return
                if status == 206:
                    headers = {"Content-Range": f"bytes 0-{min(511, len(body) - 1)}/{len(body)}", **headers}
                    body = body[:512]
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                with contextlib.suppress(ConnectionError):  # the other side has seen enough
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(check, "PAUSE_S", 0.01)
    made = Host()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty registry."""
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    return tmp_path


def write(folder: Path, name: str, *files: str, more: str = "") -> None:
    (folder / f"{name}.toml").write_text(
        f'title = "T"\nkind = "imagery"\nredistribution = "no"\nfiles = [{", ".join(files)}]\n{more}\n'
        '[settings]\nformat = "geotiff"\nlicense = "none"\n'
    )


def verdict(entries: Path, file: str, timeout: float = 2.0) -> tuple[str, str]:
    """Verdict and detail of one address."""
    write(entries, "one", file)
    (found,) = check.check(["one"], timeout)
    return found.verdict, found.detail


@pytest.mark.parametrize("status", [200, 206])
def test_a_file_that_is_there_is_ok_and_hardly_any_of_it_is_read(host: Host, entries: Path, status: int) -> None:
    host.answers["/a.zip"] = (status, {}, ZIP * 50_000)
    write(entries, "one", f'{{ url = "{host.url}/a.zip", bytes = {len(ZIP) * 50_000} }}')
    (found,) = check.check(["one"])
    assert (found.verdict, found.bytes, found.broken) == ("ok", len(ZIP) * 50_000, False)
    assert host.asked == [("GET", "/a.zip", "bytes=0-511")]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((404, {}, b"no"), "gone"),
        ((410, {}, b"no"), "gone"),
        ((401, {}, b"no"), "needs login"),
        ((403, {}, b"no"), "needs login"),
        ((500, {}, b"no"), "unreachable"),
        ((206, {}, ZIP + b"longer"), "wrong size"),
        ((200, {}, ZIP[:-1]), "wrong size"),
        ((200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><p>Choose a mirror"), "HTML page"),
        ((200, {}, b"\xef\xbb\xbf \n<HTML><p>Choose a mirror"), "HTML page"),
        ((206, {}, b"Rar!" + bytes(96)), "other content"),
        ((200, {}, b"version https://git-lfs.github.com/spec/v1\noid sha256:00"), "other content"),
        ((0, {}, b""), "unreachable"),
    ],
)
def test_verdicts_of_a_web_address(host: Host, entries: Path, answer: Answer, expected: str) -> None:
    host.answers["/a.zip"] = answer
    write(entries, "one", f'{{ url = "{host.url}/a.zip?download=1", bytes = {len(ZIP)} }}')
    (found,) = check.check(["one"], timeout=0.3)
    assert (found.verdict, found.broken) == (expected, True), found


def test_a_file_that_moved_for_good_is_moved_and_one_that_is_kept_elsewhere_is_ok(host: Host, entries: Path) -> None:
    host.answers["/new.zip"] = (206, {}, ZIP)
    host.answers["/old.zip"] = (301, {"Location": "/new.zip"}, b"")
    host.answers["/store.zip"] = (302, {"Location": "/new.zip"}, b"")
    assert verdict(entries, f'{{ url = "{host.url}/old.zip" }}') == ("moved", "now at /new.zip")
    host.answers["/signed.zip"] = (301, {"Location": f"{host.url}/new.zip?sig=secret"}, b"")
    host.answers["/new.zip?sig=secret"] = host.answers["/new.zip"]
    assert verdict(entries, f'{{ url = "{host.url}/signed.zip" }}') == ("moved", f"now at {host.url}/new.zip")
    assert verdict(entries, f'{{ url = "{host.url}/store.zip" }}')[0] == "ok"
    write(entries, "one", f'{{ url = "{host.url}/old.zip", bytes = 7 }}')
    assert check.check(["one"])[0].verdict == "wrong size"


def test_a_redirect_to_a_login_or_in_a_loop(host: Host, entries: Path) -> None:
    host.answers["/a.zip"] = (302, {"Location": "/accounts/login?next=a"}, b"")
    host.answers["/accounts/login"] = (200, {}, b"<html>")
    host.answers["/loop.zip"] = (302, {"Location": "/loop.zip"}, b"")
    assert verdict(entries, f'{{ url = "{host.url}/a.zip" }}')[0] == "needs login"
    assert verdict(entries, f'{{ url = "{host.url}/loop.zip" }}') == ("unreachable", "more than 8 redirects")


def test_an_empty_file_has_no_range(host: Host, entries: Path) -> None:
    host.answers["/a.csv"] = (416, {"Content-Range": "bytes */0"}, b"")
    assert verdict(entries, f'{{ url = "{host.url}/a.csv", bytes = 0 }}') == ("ok", "empty")
    assert verdict(entries, f'{{ url = "{host.url}/a.csv", bytes = 1 }}')[0] == "wrong size"


def test_a_host_that_is_busy_once_is_asked_again(host: Host, entries: Path) -> None:
    host.answers["/a.zip"] = [(503, {}, b""), (206, {}, ZIP)]
    assert verdict(entries, f'{{ url = "{host.url}/a.zip" }}')[0] == "ok"


def test_no_network(entries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "PAUSE_S", 0.01)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
    write(entries, "one", *(f'{{ url = "{nowhere}/{i}.zip" }}' for i in range(9)))
    found = check.check()
    assert [one.verdict for one in found] == ["unreachable"] * 9
    assert all(one.broken and "ConnectError" in one.detail for one in found)


def test_the_first_bytes_must_fit_the_suffix() -> None:
    fits = {
        "a.tar": bytes(257) + b"ustar\0", "a.tar.gz": b"\x1f\x8b\x08", "a.tar.zst": b"\x28\xb5\x2f\xfd",
        "a.tif": b"II*\0", "a.html": b"<html>",
        "a.tar.xz": b"\xfd7zXZ\0", "a.tbz2": b"BZh9", "a.rar": b"Rar!\x1a\x07\1", "a.jpeg": b"\xff\xd8\xff",
        "a.parquet": b"PAR1", "a.json": b' [{"a"', "a.csv": b"path,title", "a.tar.gzab": b"anything",
    }  # fmt: skip
    for name, head in fits.items():
        assert check.unlike(Address(url=f"https://x/{name}"), head, "") is None, name
    for name in fits.keys() - {"a.html", "a.tar.gzab"}:
        found = check.unlike(Address(url=f"https://x/{name}"), b"\0\1\2\3 else", "")
        assert found is not None and found[0] == "other content", name
    assert check.unlike(Address(url="https://x/a.zip"), b"", "") == ("other content", "empty")
    assert check.unlike(Address(url="https://x/a.csv"), b"", "") is None


def test_mirrors_and_catalogues_are_addresses_too(host: Host, entries: Path) -> None:
    host.answers["/b.zip"] = (206, {}, ZIP)
    host.answers["/api/collections/naip"] = (200, {}, b'{"id": "naip"}')
    write(entries, "two", f'{{ url = "{host.url}/a.zip", mirrors = ["{host.url}/b.zip"] }}')
    stac = f'[stac]\nurl = "{host.url}/api/"\ncollection = "naip"\nassets = {{ red = "image#1" }}'
    write(entries, "three", more=stac)
    write(entries, "four", more='manual = "Ask for it"')
    found = [(one.corpus, one.verdict, one.url.removeprefix(host.url)) for one in check.check()]
    assert found == [
        ("four", "not checked", ""),
        ("three", "ok", "/api/collections/naip"),
        ("two", "gone", "/a.zip"),
        ("two", "ok", "/b.zip"),
    ]
    assert check.counted(check.check()) == {"ok": 2, "not checked": 1, "gone": 1}


def test_hub_addresses_are_looked_up_at_their_revision(
    host: Host, entries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", host.url)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    files = [
        {"rfilename": "data set.zip", "size": 7},
        {"rfilename": "p/0.parquet", "size": 2},
        {"rfilename": "p/1.parquet", "size": 3},
    ]
    info = {"id": "org/name", "sha": REVISION, "siblings": files}
    host.answers[f"/api/datasets/org/name/revision/{REVISION}"] = (200, {}, json.dumps(info).encode())
    missing = {"X-Error-Code": "RevisionNotFound"}
    host.answers["/api/datasets/org/name/revision/abc"] = (404, missing, b"{}")
    host.answers["/api/datasets/org/gated/revision/abc"] = (403, {"X-Error-Code": "GatedRepo"}, b"{}")
    host.answers["/api/datasets/org/none/revision/abc"] = (401, {"X-Error-Code": "RepoNotFound"}, b"{}")
    hub = f"hf://datasets/org/name@{REVISION}"
    urls = {
        f"{hub}/data set.zip": "ok", f"{hub}/data%20set.zip": "ok", f"{hub}/p/*.parquet": "ok", f"{hub}/q.zip": "gone",
        "hf://datasets/org/name@abc/a.zip": "gone", "hf://datasets/org/gated@abc/a.zip": "needs login",
        "hf://datasets/org/none@abc/a.zip": "gone", "hf://datasets/org/name/a.zip": "gone",
    }  # fmt: skip
    write(entries, "one", *(f'{{ url = "{url}" }}' for url in urls))
    found = check.check(["one"])
    assert {one.url: one.verdict for one in found} == urls, found
    assert [one.bytes for one in found[:3]] == [7, 7, 5]
    assert len([path for _, path, _ in host.asked if path.endswith(REVISION)]) == 1
    write(entries, "one", f'{{ url = "{hub}/p/*.parquet", bytes = 6 }}')
    assert check.check(["one"])[0].verdict == "wrong size"


def test_the_hub_offline_is_not_checked_and_out_of_reach_unreachable(
    entries: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f'{{ url = "hf://datasets/org/name@{REVISION}/a.zip" }}'
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert verdict(entries, address) == ("not checked", "HF_HUB_OFFLINE is set")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert verdict(entries, address)[0] == "unreachable"


def test_files_and_buckets_go_through_fsspec(entries: Path, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(ZIP)
    assert verdict(entries, f'{{ url = "file://{tmp_path}/a.zip", bytes = {len(ZIP)} }}') == ("ok", "")
    assert verdict(entries, f'{{ url = "file://{tmp_path}/b.zip" }}') == ("gone", "no such file")
    (tmp_path / "c.zip").write_bytes(b"<html>")
    assert verdict(entries, f'{{ url = "file://{tmp_path}/c.zip" }}')[0] == "HTML page"
    assert verdict(entries, '{ url = "nonsense://a/b.zip" }')[0] in ("gone", "not checked")


def test_an_unknown_corpus_is_a_wrong_call(entries: Path) -> None:
    with pytest.raises(UsageError, match="unknown corpus nothing"):
        check.check(["nothing"])
