import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from fusionrs_builder.corpora import http
from fusionrs_builder.corpora.http import Web
from fusionrs_builder.corpora.remote import Interrupted, Stream, Unavailable, Wrong, scrub, words
from tests.corpora.faulty_server import FaultyServer, serving

DATA = bytes(range(256)) * 400


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with serving() as made:
        yield made


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    monkeypatch.setattr(http, "SILENT_S", 0.3)
    made = Web(2, threading.Event())
    yield made
    made.close()


def got(web: Web, url: str, start: int = 0, validator: str = "") -> tuple[bytes, Stream]:
    with web.open(url, start, validator) as stream:
        return b"".join(stream.chunks), stream


def test_a_whole_file(web: Web, server: FaultyServer) -> None:
    data, stream = got(web, server.put("a.bin", DATA))
    assert data == DATA
    assert (stream.start, stream.size, stream.validator) == (0, len(DATA), server.files["a.bin"].tag)
    assert server.requests[0][1]["accept-encoding"] == "identity"


def test_the_rest_of_a_file(web: Web, server: FaultyServer) -> None:
    url = server.put("a.bin", DATA)
    data, stream = got(web, url, 1000, server.files["a.bin"].tag)
    assert (data, stream.start, stream.size) == (DATA[1000:], 1000, len(DATA))
    assert server.requests[0][1]["if-range"] == server.files["a.bin"].tag


def test_the_time_of_change_serves_where_the_tag_is_weak(web: Web, server: FaultyServer) -> None:
    modified = "Mon, 01 Jan 2024 00:00:00 GMT"
    url = server.put("a.bin", DATA, etag='W/"1"', modified=modified)
    _, stream = got(web, url)
    assert stream.validator == modified
    assert got(web, url, 1000, modified)[1].start == 1000
    assert got(web, server.put("b.bin", DATA, etag='W/"1"'))[1].validator == ""


def test_a_changed_file_or_a_server_without_ranges_begins_anew(web: Web, server: FaultyServer) -> None:
    data, stream = got(web, server.put("a.bin", DATA), 1000, '"another"')
    assert (data, stream.start) == (DATA, 0)
    data, stream = got(web, server.put("b.bin", DATA, ranges=False), 1000, "")
    assert (data, stream.start) == (DATA, 0)


def test_nothing_follows_a_whole_file(web: Web, server: FaultyServer) -> None:
    url = server.put("a.bin", DATA)
    assert got(web, url, len(DATA))[0] == b""
    with pytest.raises(Wrong, match="no longer has the 102,401 bytes"):
        got(web, url, len(DATA) + 1)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("drop", "RemoteProtocolError"),
        ("long", "RemoteProtocolError"),
        ("stall", "no answer in time"),
        ("mute", "no answer in time"),
        ("500", "status 500"),
        ("503", "status 503"),
        ("408", "status 408"),
    ],
)
def test_what_may_work_another_time(web: Web, server: FaultyServer, fault: str, message: str) -> None:
    with pytest.raises(Interrupted, match=message):
        got(web, server.put("a.bin", DATA, fault))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("401", "status 401"),
        ("403", "status 403"),
        ("404", "status 404"),
        ("410", "status 410"),
        ("gzip", "sends the file compressed"),
        ("429:86400", "asks to be left alone for 86,400 s"),
        ("elsewhere:ftp://127.0.0.1/a", "unsupported protocol"),
    ],
)
def test_what_will_not(web: Web, server: FaultyServer, fault: str, message: str) -> None:
    with pytest.raises(Unavailable, match=message):
        got(web, server.put("a.bin", DATA, fault))


def test_a_compressed_file_may_say_so(web: Web, server: FaultyServer) -> None:
    assert got(web, server.put("a.tar.gz", DATA, "gzip"))[0] == DATA


def test_redirects_in_a_loop(web: Web, server: FaultyServer) -> None:
    with pytest.raises(Interrupted, match="more than 10 redirects"):
        got(web, server.put("a.bin", DATA, *["loop"] * 20))


def test_a_refused_connection_may_work_another_time(web: Web) -> None:
    with pytest.raises(Interrupted, match="ConnectError"):
        got(web, "http://127.0.0.1:9/a.bin")


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"Content-Range": "bytes 7-9/10"}, "answers with byte 7 where byte 5 was asked for"),
        ({"Content-Range": "bytes 5-"}, "answers with a range it does not name"),
        ({}, "answers with a range it does not name"),
    ],
)
def test_another_range_than_asked_for(web: Web, server: FaultyServer, headers: dict[str, str], message: str) -> None:
    server.pages = lambda path, asked: (206, {**headers, "Content-Length": "3"}, b"abc")
    with pytest.raises(Unavailable, match=message):
        got(web, f"{server.url}/a.bin", 5)


def test_a_host_that_asks_for_patience_gets_it_for_all_files(web: Web, server: FaultyServer) -> None:
    first, second = server.put("a.bin", DATA, "429:1"), server.put("b.bin", DATA)
    started = time.monotonic()
    with pytest.raises(Interrupted) as caught:
        got(web, first)
    assert caught.value.after == 1.0
    assert got(web, second)[0] == DATA
    assert time.monotonic() - started > 0.9


def test_patience_until_a_date() -> None:
    def after(value: str) -> float | None:
        return http._retry_after(value)

    assert after("7") == 7.0
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)
    assert 57 < (after(in_a_minute) or 0) <= 60
    assert after("Mon, 01 Jan 2001 00:00:00 GMT") == 0.0
    assert after("soon") is None
    assert after("") is None


def test_no_more_than_so_many_at_once_of_a_host(web: Web, server: FaultyServer) -> None:
    urls = [server.put(f"{i}.bin", DATA, "slow") for i in range(6)]
    threads = [threading.Thread(target=got, args=(web, url)) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert server.most_open == 2


def test_a_host_that_trickles_is_left(web: Web, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "JUDGED_S", 0.1)
    monkeypatch.setattr(http, "SLOWEST_BYTES_S", 10_000_000)
    with pytest.raises(Interrupted, match="only .* bytes in"):
        got(web, server.put("a.bin", DATA * 3, "slow"))


def test_a_token_for_the_hub_goes_nowhere_else(web: Web, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving() as other:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        url = server.put("a.bin", DATA, f"elsewhere:{other.put('b.bin', DATA)}")
        assert got(web, url)[0] == DATA
        got(web, other.put("c.bin", DATA))
        assert server.requests[0][1]["authorization"] == "Bearer hf_secret"
        assert [headers.get("authorization") for _, headers in other.requests] == [None, None]


def test_the_hub_says_the_hash_of_a_large_file(web: Web, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> None:
    target = server.put("b.bin", DATA)
    linked = (302, {"Location": target, "X-Linked-Etag": f'"{"ab" * 32}"', "Content-Length": "0"}, b"")
    server.pages = lambda path, headers: linked if path == "/a.bin" else None
    assert got(web, f"{server.url}/a.bin")[1].sha256 == "", "another host's word is not taken"
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    assert got(web, f"{server.url}/a.bin")[1].sha256 == "ab" * 32


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pass@host/a.zip?token=secret#x", "https://host/a.zip"),
        ("s3://bucket/a b.zip", "s3://bucket/a b.zip"),
        ("hf://datasets/o/n@0123/a.zip", "hf://datasets/o/n@0123/a.zip"),
    ],
)
def test_secrets_in_addresses_are_not_shown(url: str, shown: str) -> None:
    assert scrub(url) == shown
    assert words(ValueError(f"no {url.replace(' ', '')}, sorry")).startswith("ValueError: no ")
    assert "secret" not in words(ValueError(f"no '{url}'"))


def test_nothing_of_an_address_is_logged(web: Web, server: FaultyServer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        got(web, server.put("a.bin", DATA) + "?token=secret")
    assert "secret" not in caplog.text


def test_waiting_ends_when_nobody_waits(web: Web, server: FaultyServer) -> None:
    with pytest.raises(Interrupted):
        got(web, server.put("a.bin", DATA, "503:300"))
    finished: Callable[[], None] = threading.Timer(0.2, web.stop.set).start
    finished()
    started = time.monotonic()
    with pytest.raises(Interrupted, match="nobody waits"):
        got(web, server.put("b.bin", DATA))
    assert time.monotonic() - started < 5
    assert not server.asked("b.bin")


@pytest.mark.parametrize("fault", ["stall", "mute"])
def test_silence_ends_when_nobody_waits(server: FaultyServer, fault: str) -> None:
    web = Web(2, threading.Event())
    url = server.put("a.bin", DATA, "503", fault)
    with pytest.raises(Interrupted, match="503"):
        got(web, url)
    threading.Timer(0.3, web.give_up).start()
    started = time.monotonic()
    with pytest.raises(Interrupted):
        got(web, url)
    assert time.monotonic() - started < 5
    web.close()
