import contextlib
import hashlib
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import fsspec
import huggingface_hub.constants
import pytest
from moto.server import ThreadedMotoServer

from fusionrs_builder.corpora import archive, http, registry, remote, transfer, tree
from fusionrs_builder.corpora.address import Address
from fusionrs_builder.corpora.fetch import Fetched, _files, fetch
from fusionrs_builder.corpora.journal import Journal
from fusionrs_builder.errors import FusionError, UsageError
from tests.corpora.faulty_server import PAGE, FaultyServer, serving
from tests.corpora.reading import peak
from tests.corpora.test_archive import held, packed, special, tar

DATA = random.Random(0).randbytes(3_000_000)
REVISION = "0123456789abcdef0123456789abcdef01234567"

Get = Callable[..., Fetched]


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SILENT_S", 0.5)
    monkeypatch.setattr(transfer, "PAUSE_S", 0.005)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with serving() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "raw" / "c"


@pytest.fixture
def get(folder: Path) -> Get:
    def do(*addresses: Address | str, **options: Any) -> Fetched:
        given = [Address(url=address) if isinstance(address, str) else address for address in addresses]
        return fetch("c", given, folder, **options)

    return do


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def hashed(url: str, data: bytes = DATA, **fields: Any) -> Address:
    return Address(url=url, bytes=len(data), md5=hashlib.md5(data).hexdigest(), sha256=sha256(data), **fields)


def leave_part(folder: Path, server: FaultyServer, get: Get, path: str = "a.bin", data: bytes | None = None) -> None:
    """As a killed run would: some bytes of a file, and what its host called it."""
    url = f"{server.url}/{path}"
    server.files[path].faults[:] = ["drop:1000000", "404"]
    with pytest.raises(FusionError):
        get(hashed(url, data) if data else url)
    assert (folder / "parts" / f"{path}.part").stat().st_size in (1_000_000, 0)
    server.files[path].faults.clear()
    server.requests.clear()
    server.served.clear()


def test_files_stand_verified_and_are_not_fetched_again(server: FaultyServer, folder: Path, get: Get) -> None:
    addresses = [hashed(server.put("a.bin", DATA)), Address(url=server.put("sub/b.txt", b"b"), to="sub/b.txt")]
    came = get(*addresses)
    assert came == Fetched(2, len(DATA) + 1, 2, len(DATA) + 1, 0, {"a.bin": sha256(DATA), "sub/b.txt": sha256(b"b")})
    assert held(folder / "published") == held(folder / "files") == {"a.bin": DATA, "sub/b.txt": b"b"}
    assert (folder / "published/a.bin").samefile(folder / "files/a.bin")
    assert not (folder / "parts").exists()
    server.requests.clear()
    again = get(*addresses)
    assert server.requests == []
    assert again == Fetched(2, came.bytes, 0, 0, 2, came.sha256)


def test_an_empty_file(server: FaultyServer, folder: Path, get: Get) -> None:
    assert get(server.put("a.txt", b"")).bytes == 0
    assert held(folder / "files") == {"a.txt": b""}


@pytest.mark.parametrize("published", [True, False])
@pytest.mark.parametrize(
    "faults",
    [
        ["drop"],
        ["drop:0", "drop:100", "drop:200"],
        ["stall"],
        ["mute"],
        ["long"],
        ["loop"] * 11,
        ["page"],
        ["503"],
        ["429:0"],
        ["503:date"],
        ["slow"],
        ["unsized"],
    ],
    ids=lambda faults: faults[0],
)
def test_faults_that_pass(server: FaultyServer, folder: Path, get: Get, faults: list[str], published: bool) -> None:
    url = server.put("a.zip", packed("a.zip", {"a": DATA[:500_000]}), *faults)
    get(hashed(url, server.files["a.zip"].data) if published else url)
    assert held(folder / "files") == {"a": DATA[:500_000]}


@pytest.mark.parametrize("faults", [["short"], ["other"], ["other", "drop"], ["changed"]], ids=lambda f: "+".join(f))
def test_another_file_than_published_is_not_kept(
    server: FaultyServer, folder: Path, get: Get, faults: list[str]
) -> None:
    url = server.put("a.bin", DATA, *faults)
    if faults == ["changed"]:
        with pytest.raises(FusionError, match="another file: 2,999,993 bytes instead of 3,000,000"):
            get(hashed(url))
        assert server.served["a.bin"] < 1_000_000, "the length tells before the bytes come"
        assert not (folder / "published").exists()
    else:
        get(hashed(url))
        assert held(folder / "published") == {"a.bin": DATA}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"md5": "0" * 32}, "md5 .* instead of 0{32}, after 3 tries"),
        ({"sha256": "0" * 64}, "sha256 .* instead of 0{64}, after 3 tries"),
        ({"bytes": 7}, "3,000,000 bytes instead of 7"),
    ],
)
def test_a_mismatch_is_an_error_that_names_it(
    server: FaultyServer, folder: Path, get: Get, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(FusionError, match=f"corpus c: a.bin cannot be fetched: {server.url}/a.bin: .*{message}"):
        get(Address(url=server.put("a.bin", DATA), **fields))
    assert not (folder / "published").exists()


def test_more_bytes_than_published(server: FaultyServer, folder: Path, get: Get) -> None:
    url = server.put("a.bin", DATA, *["unsized"] * 3)
    with pytest.raises(FusionError, match="more than 1,000,000 bytes"):
        get(Address(url=url, bytes=1_000_000))
    assert server.served["a.bin"] < 3 * 2_500_000


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.zip", PAGE, "HTML page: a page for people where a file should be"),
        ("a.jpg", PAGE, "HTML page"),
        ("a.csv", PAGE, "HTML page"),
        ("a.tar.xz", PAGE, "HTML page"),
        ("a.zip", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
        ("a.zip", b"Rar!\x1a\x07\x00" + bytes(900), "begins with .*: not .zip"),
        ("a.tar.gz", b"PK\x03\x04" + bytes(900), "not .gz"),
        ("a.7z", b"PK\x03\x04" + bytes(900), "not .7z"),
        ("a.tar.zst", b"PK\x03\x04" + bytes(900), "not .zst"),
        ("a.tar.bz2", b"PK\x03\x04", "not .bz2"),
        ("a.jpg", b"\x89PNG\r\n\x1a\n", "not .jpg"),
        ("a.rar", b"Quota exceeded", "begins with b'Quota ': not .rar"),
        ("a.tar.xz", b"Quota exceeded", "not .xz"),
        ("a.zip", b"", "other content: empty"),
        ("a.tif", b"", "other content: empty"),
    ],
)  # fmt: skip
def test_content_that_is_not_what_its_name_says(
    server: FaultyServer, folder: Path, get: Get, name: str, data: bytes, message: str
) -> None:
    with pytest.raises(
        FusionError, match=f"corpus c: {name} cannot be fetched: .*{message}.*See in a browser .*--from PATH"
    ):
        get(server.put(name, data))
    assert not (folder / "published").exists()


@pytest.mark.parametrize("name", ["a.html", "a.txt"])
def test_markup_may_be_what_is_published(server: FaultyServer, folder: Path, get: Get, name: str) -> None:
    get(server.put(name, PAGE if name == "a.html" else b"<3 remote sensing"))
    assert (folder / "files" / name).exists()


@pytest.mark.parametrize("status", ["401", "403", "404", "410"])
def test_what_is_refused_is_asked_for_once_and_then_at_the_mirrors(
    server: FaultyServer, folder: Path, get: Get, status: str
) -> None:
    first = server.put("a.bin", DATA, status)
    second = server.put("b.bin", DATA, *["503"] * 20)
    third = server.put("c.bin", DATA)
    get(Address(url=first, mirrors=(second, third)))
    assert held(folder / "published") == {"a.bin": DATA}
    assert [server.asked(f"{name}.bin") for name in "abc"] == [1, 6, 1]


def test_when_no_address_gives_it_each_answer_is_named(server: FaultyServer, get: Get) -> None:
    url = server.put("a.bin", DATA, "403") + "?token=secret"
    mirror = f"http://user:hidden@127.0.0.1:{urlsplit(server.url).port}/nothing.bin?sig=secret"
    with pytest.raises(FusionError) as caught:
        get(Address(url=url, mirrors=(mirror,)))
    assert str(caught.value) == (
        f"corpus c: a.bin cannot be fetched: {server.url}/a.bin: status 403; {server.url}/nothing.bin: status 404. "
        "Log in where the publisher presents it, accept its terms and fetch it there, or give a copy of the corpus "
        "with --from PATH (key corpora.c.from)"
    )
    assert caught.value.exit_code == 1


def test_secrets_reach_no_file(server: FaultyServer, folder: Path, get: Get) -> None:
    port = urlsplit(server.url).port
    server.put("a.bin", DATA, "drop", *["404"])
    with pytest.raises(FusionError):
        get(f"http://user:hidden@127.0.0.1:{port}/a.bin?token=secret")
    everything = b"".join(path.read_bytes() for path in folder.rglob("*.json*") if path.is_file())
    assert everything and b"secret" not in everything and b"hidden" not in everything
    assert server.requests[0][1]["authorization"].startswith("Basic ")


def test_the_others_come_though_one_cannot_be_had(server: FaultyServer, folder: Path, get: Get) -> None:
    urls = [server.put(f"{i}.bin", DATA[:1000]) for i in range(5)]
    with pytest.raises(FusionError, match=r"0.bin cannot be fetched: .*status 404.*|.*\(and 1 more files\)"):
        get(f"{server.url}/gone/0.bin", f"{server.url}/gone/9.bin", *urls[1:])
    assert sorted(held(folder / "published")) == [f"{i}.bin" for i in range(1, 5)]


def test_a_part_is_gone_on_with(server: FaultyServer, folder: Path, get: Get) -> None:
    url = server.put("a.bin", DATA)
    leave_part(folder, server, get)
    assert get(hashed(url)).fetched_bytes == len(DATA)
    assert held(folder / "published") == {"a.bin": DATA}
    assert server.served["a.bin"] < 2_020_000
    assert server.ranges("a.bin") == ["bytes=1000000-"]


@pytest.mark.parametrize("heeds", [True, False])
@pytest.mark.parametrize("how", ["etag", "modified", "length"])
def test_a_part_of_a_file_that_changed_is_thrown_away(
    server: FaultyServer, folder: Path, get: Get, how: str, heeds: bool
) -> None:
    options: dict[str, Any] = {"etag": "", "modified": "Mon, 01 Jan 2024 00:00:00 GMT"} if how == "modified" else {}
    url = server.put("a.bin", DATA, heeds=heeds, **options)
    leave_part(folder, server, get)
    file = server.files["a.bin"]
    file.data = DATA[::-1] if how != "length" else DATA[:500_000]
    file.modified = file.modified and "Tue, 02 Jan 2024 00:00:00 GMT"
    get(url)
    assert held(folder / "published") == {"a.bin": file.data}


def test_without_a_tag_a_part_is_of_use_only_where_a_hash_will_tell(
    server: FaultyServer, folder: Path, get: Get
) -> None:
    url = server.put("a.bin", DATA, etag="")
    leave_part(folder, server, get)
    get(url)
    assert server.ranges("a.bin") == [""]
    url = server.put("b.bin", DATA, etag="")
    leave_part(folder, server, get, "b.bin", DATA)
    get(hashed(url))
    assert server.ranges("b.bin") == ["bytes=1000000-"]
    url = server.put("d.bin", DATA, etag="")
    leave_part(folder, server, get, "d.bin", DATA)
    server.files["d.bin"].data = changed = DATA[::-1]
    get(hashed(url, changed))
    assert server.ranges("d.bin") == ["bytes=1000000-", ""], "the hash told"
    assert (folder / "published" / "d.bin").read_bytes() == changed


def test_a_mirror_goes_on_where_the_publisher_broke_off(server: FaultyServer, folder: Path, get: Get) -> None:
    first = server.put("a.bin", DATA, "drop:2000000", "404")
    mirror = server.put("b.bin", DATA, etag='"its own"')
    get(hashed(first, mirrors=(mirror,)))
    assert held(folder / "published") == {"a.bin": DATA}
    assert server.ranges("b.bin") == ["bytes=2000000-"]


def test_an_address_that_answers_nothing_costs_nothing_that_came(server: FaultyServer, folder: Path, get: Get) -> None:
    first = server.put("a.bin", DATA, *["404"] * 2)
    mirror = server.put("b.bin", DATA, "drop:2000000", "404")
    address = Address(url=first, mirrors=(mirror,))
    with pytest.raises(FusionError):
        get(address)
    get(address)
    assert server.ranges("b.bin") == ["", "bytes=2000000-", "bytes=2000000-"]
    assert held(folder / "published") == {"a.bin": DATA}


def test_a_length_that_was_a_lie_is_corrected(server: FaultyServer, folder: Path, get: Get) -> None:
    get(server.put("a.bin", DATA, "long"))
    assert server.ranges("a.bin") == ["", f"bytes={len(DATA)}-"]
    assert held(folder / "published") == {"a.bin": DATA}


def test_a_server_without_ranges_begins_anew(server: FaultyServer, folder: Path, get: Get) -> None:
    url = server.put("a.bin", DATA, ranges=False)
    leave_part(folder, server, get)
    get(url)
    assert held(folder / "published") == {"a.bin": DATA}


def test_what_a_kill_left_of_a_part_never_harms(server: FaultyServer, folder: Path, get: Get) -> None:
    url = server.put("a.bin", DATA)
    part, note = folder / "parts" / "a.bin.part", folder / "parts" / "a.bin.json"
    for break_it in (
        lambda: note.unlink(),
        lambda: note.write_text('{"url": "'),
        lambda: part.unlink(),
        lambda: part.write_bytes(b""),
        lambda: part.write_bytes(DATA + b"too much"),
        lambda: part.write_bytes(bytes(1_000_000)),
    ):
        leave_part(folder, server, get)
        break_it()
        get(hashed(url))
        assert held(folder / "published") == {"a.bin": DATA}
        shutil.rmtree(folder)


def test_a_whole_part_asks_for_nothing(server: FaultyServer, folder: Path, get: Get) -> None:
    url = server.put("a.bin", DATA)
    leave_part(folder, server, get)
    with (folder / "parts" / "a.bin.part").open("ab") as handle:
        handle.write(DATA[1_000_000:])
    get(hashed(url))
    assert server.requests == []


def test_a_kill_between_the_note_and_the_move(server: FaultyServer, folder: Path, get: Get) -> None:
    url = server.put("a.bin", DATA)
    get(url)
    server.requests.clear()
    (folder / "parts").mkdir()
    (folder / "published" / "a.bin").rename(folder / "parts" / "a.bin.part")
    assert get(url).kept_files == 1
    assert server.requests == [] and held(folder / "published") == {"a.bin": DATA}


def test_the_end_of_the_journal_may_be_cut_off(server: FaultyServer, folder: Path, get: Get) -> None:
    urls = [hashed(server.put(f"{name}.bin", DATA)) for name in "ab"]
    get(*urls, workers=1)
    journal = folder / "fetched.jsonl"
    whole = journal.read_bytes()
    for end in range(0, len(whole), 23):
        journal.write_bytes(whole[:end])
        assert get(*urls).kept_files == 2
    assert server.asked("a.bin") == server.asked("b.bin") == 1
    assert all(json.loads(line) for line in journal.read_text().splitlines())


def test_a_touched_file_is_hashed_and_kept(server: FaultyServer, folder: Path, get: Get) -> None:
    url = server.put("a.bin", DATA)
    get(url)
    os.utime(folder / "published" / "a.bin", (1, 1))
    assert get(url).kept_files == 1
    assert server.asked("a.bin") == 1


def test_a_file_changed_by_hand_is_fetched_again(
    server: FaultyServer, folder: Path, get: Get, caplog: pytest.LogCaptureFixture
) -> None:
    addresses = [server.put("a.bin", DATA), server.put("b.zip", packed("a.zip", {"b": b"b"}))]
    get(*addresses)
    with (folder / "files" / "a.bin").open("r+b") as handle:
        handle.write(b"spoilt")
    with caplog.at_level(logging.WARNING):
        came = get(*addresses)
    assert "a.bin has changed since it was fetched: it is fetched again" in caplog.text
    assert (came.fetched_files, came.kept_files) == (1, 1)
    assert held(folder / "files") == {"a.bin": DATA, "b": b"b"}


def test_a_file_that_is_gone_is_fetched_again(server: FaultyServer, folder: Path, get: Get) -> None:
    url = server.put("a.bin", DATA)
    get(url)
    (folder / "published" / "a.bin").unlink()
    assert get(url).fetched_files == 1
    assert held(folder / "published") == {"a.bin": DATA}


def test_a_copy_got_by_hand_is_taken_where_a_hash_tells(server: FaultyServer, folder: Path, get: Get) -> None:
    (folder / "published").mkdir(parents=True)
    for name in ("a.bin", "b.bin", "c.bin"):
        (folder / "published" / name).write_bytes(DATA)
    came = get(
        hashed(server.put("a.bin", DATA)), server.put("b.bin", DATA), hashed(server.put("c.bin", b"else"), b"else")
    )
    assert (came.kept_files, server.asked("a.bin"), server.asked("b.bin"), server.asked("c.bin")) == (1, 0, 1, 1)
    assert (folder / "published" / "c.bin").read_bytes() == b"else"


def test_a_registry_that_names_another_hash_gets_another_file(server: FaultyServer, folder: Path, get: Get) -> None:
    get(server.put("a.zip", packed("a.zip", {"old": b"1", "both": b"1"})))
    data = packed("a.zip", {"new": b"2", "both": b"2"})
    came = get(hashed(server.put("a.zip", data), data))
    assert came.fetched_files == 1
    assert held(folder / "files") == {"new": b"2", "both": b"2"}, "nothing of the old archive is left"


def test_archives_are_unpacked_once(server: FaultyServer, folder: Path, get: Get) -> None:
    addresses = [
        Address(url=server.put("a.zip", packed("a.zip", {"images/a.jpg": b"a", "same.txt": b"="})), into="deep/rgb"),
        Address(url=server.put("b.tgz", packed("a.tgz", {"images/b.jpg": b"b", "same.txt": b"="})), into="deep/rgb"),
        Address(url=server.put("c.zip", packed("a.zip", {"c": b"c"}))),
        Address(url=server.put("whole.tar", packed("a.tar", {"d": b"d"})), unpack=False),
        Address(url=server.put("labels.json", b"{}"), to="labels/all.json"),
    ]  # fmt: skip
    get(*addresses)
    expected = {
        "deep/rgb/images/a.jpg": b"a", "deep/rgb/images/b.jpg": b"b", "deep/rgb/same.txt": b"=", "c": b"c",
        "whole.tar": packed("a.tar", {"d": b"d"}), "labels/all.json": b"{}",
    }  # fmt: skip
    assert held(folder / "files") == expected
    before = {path: path.stat().st_ino for path in (folder / "files").rglob("*")}
    get(*addresses)
    assert {path: path.stat().st_ino for path in (folder / "files").rglob("*")} == before
    assert sorted(path.name for path in folder.iterdir()) == ["fetched.jsonl", "files", "published"]
    get(*addresses[1:])
    assert sorted(held(folder / "files")) == sorted(expected.keys() - {"deep/rgb/images/a.jpg"}), "as if never there"
    shutil.rmtree(folder / "files")
    get(*addresses)
    assert held(folder / "files") == expected


def test_parts_make_one_archive(server: FaultyServer, folder: Path, get: Get) -> None:
    data = packed("a.tar.gz", {"images/a.jpg": DATA})
    cuts = [0, 1_000_000, 2_000_000, len(data)]
    addresses = [
        Address(url=server.put(f"a.tar.gz{end}", data[start:stop]), joined="a.tar.gz", into="x")
        for end, start, stop in zip(("aa", "ab", "ac"), cuts, cuts[1:], strict=False)
    ] + [
        Address(url=server.put("n.csv.1", b"a,b\n"), joined="n.csv"),
        Address(url=server.put("n.csv.2", b"1,2\n"), joined="n.csv"),
    ]
    get(*addresses)
    assert held(folder / "files") == {"x/images/a.jpg": DATA, "n.csv": b"a,b\n1,2\n"}


def test_two_archives_with_different_files_of_one_name(server: FaultyServer, folder: Path, get: Get) -> None:
    addresses = [
        Address(url=server.put("a.zip", packed("a.zip", {"x/1": b"1", "x/same.txt": b"1"}))),
        Address(url=server.put("b.zip", packed("a.zip", {"x/2": b"2", "x/same.txt": b"2"}))),
    ]
    with pytest.raises(FusionError, match=r"corpus c: x/same.txt of b.zip differs from the file of that name .*`into`"):
        get(*addresses)
    assert held(folder / "files") == {"x/1": b"1", "x/same.txt": b"1"}, "nothing of the second"
    get(addresses[0], addresses[1].model_copy(update={"into": "two"}))
    assert sorted(held(folder / "files")) == ["two/x/2", "two/x/same.txt", "x/1", "x/same.txt"]
    with pytest.raises(FusionError, match="same.txt differs from the file of that name which an archive holds"):
        get(addresses[0], Address(url=server.put("same.txt", b"3"), to="x/same.txt"))


def test_archives_that_try_to_harm_are_named_with_their_corpus(
    server: FaultyServer, folder: Path, get: Get, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(FusionError, match=r"^corpus c: a.tar: '../evil' would be written outside the folder"):
        get(server.put("a.tar", tar(("../evil", b"x"))))
    with pytest.raises(UsageError, match=r"^corpus c: b.rar: rar archives are not unpacked here"):
        get(server.put("b.rar", b"Rar!\x1a\x07\x00"))
    assert held(folder / "files") == {}
    with caplog.at_level(logging.WARNING):
        get(server.put("c.tar", tar(("a/b", b"x"), special("l", b"2", "a"))))
    assert "c.tar: 1 links to folders, or to nothing, left out" in caplog.text


def test_a_kill_while_archives_are_laid_out(
    server: FaultyServer, folder: Path, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However far it came, the next run ends at the same tree, and unpacks no archive that was whole."""
    addresses = [
        Address(url=server.put("a.zip", packed("a.zip", {"x/1": b"1", "x/y/2": b"2", "same": b"="}))),
        Address(url=server.put("b.zip", packed("a.zip", {"x/3": b"3", "x/y/4": b"4", "same": b"="}))),
        Address(url=server.put("c.txt", b"c")),
    ]
    expected = {"x/1": b"1", "x/y/2": b"2", "x/3": b"3", "x/y/4": b"4", "same": b"=", "c.txt": b"c"}
    replace = os.replace
    unpacked: list[str] = []

    def noted(parts: Any, into: Path, name: str) -> Any:
        came = archive.unpack(parts, into, name)
        unpacked.append(name)
        return came

    monkeypatch.setattr(tree, "unpack", noted)
    for steps in range(30):
        shutil.rmtree(folder, ignore_errors=True)
        unpacked.clear()
        left = [steps]

        def dying(source: Any, target: Any, left: list[int] = left) -> None:
            if str(folder / "unpacked") in str(source):
                left[0] -= 1
                if left[0] < 0:
                    raise KeyboardInterrupt
            replace(source, target)

        monkeypatch.setattr(os, "replace", dying)
        with contextlib.suppress(KeyboardInterrupt):
            get(*addresses)
        monkeypatch.setattr(os, "replace", replace)
        get(*addresses)
        assert held(folder / "files") == expected
        assert sorted(unpacked) == ["a.zip", "b.zip"]
        assert not (folder / "unpacked").exists()
        if left[0] >= 0:
            break
    assert steps > 5, "it was killed at some places"


def test_a_kill_while_the_tree_is_taken_away(server: FaultyServer, folder: Path, get: Get) -> None:
    url = server.put("a.txt", b"a")
    get(url)
    (folder / "unpacked" / ".files").mkdir(parents=True)
    (folder / "unpacked" / ".files" / "left.txt").write_text("left")
    (folder / "published" / "a.txt").write_text("changed")
    get(url)
    assert held(folder / "files") == {"a.txt": b"a"}
    assert not (folder / "unpacked").exists()


@pytest.mark.parametrize(
    ("url", "to"),
    [
        ("https://127.0.0.1/a/..", ""),
        ("https://127.0.0.1/a.zip", "./x"),
        ("https://h/a%00", "a\0b"),
    ],
)
def test_names_that_cannot_be_kept(get: Get, url: str, to: str) -> None:
    with pytest.raises(UsageError, match="would be kept as .*: give it a name with `to`"):
        get(Address(url=url, to=to))


@pytest.mark.parametrize("name", registry.names())
def test_addresses_of_the_registry_can_be_fetched(tmp_path: Path, name: str) -> None:
    entry = registry.entry(name)
    assert entry
    plain = [address for address in entry.files if "*" not in address.url]
    assert len(_files(name, plain, Journal(tmp_path))) == len(plain)


def test_two_files_of_one_name(get: Get) -> None:
    with pytest.raises(UsageError, match=r"https://a/x.zip and https://b/x.zip would both be kept as x.zip"):
        get("https://a/x.zip?token=secret", "https://b/x.zip")


def test_hosts_take_turns_and_none_is_asked_too_often_at_once(folder: Path, get: Get) -> None:
    with serving() as one, serving() as two:
        urls = [server.put(f"{i}.bin", DATA[:200_000], "slow") for server in (one, two) for i in range(6)]
        get(*(Address(url=url, to=f"{n}.bin") for n, url in enumerate(urls)), workers=4, per_host=2)
        assert one.most_open == two.most_open == 2


def test_progress_adds_up(server: FaultyServer, folder: Path, get: Get) -> None:
    seen: list[tuple[int, int | None]] = []
    get(
        hashed(server.put("a.bin", DATA, "drop", "other")),
        server.put("b.bin", DATA),
        progress=lambda *given: seen.append(given),
    )
    assert sum(count for count, _ in seen) == 2 * len(DATA)
    assert seen[-1][1] == 2 * len(DATA)


def test_a_full_disk_ends_the_work(
    server: FaultyServer, folder: Path, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FusionError, match="the disk is full: free some space, then run the same command again"):
        get(*(server.put(f"{i}.bin", DATA) for i in range(30)))
    assert len(server.requests) < 30


def test_a_disk_that_takes_only_a_part_of_a_chunk(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "a.bin").write_bytes(DATA)
    code = (
        "import resource, sys; from pathlib import Path; from fusionrs_builder.corpora.address import Address\n"
        "from fusionrs_builder.corpora.fetch import fetch\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))\n"
        "fetch('c', [Address(url=sys.argv[1])], Path(sys.argv[2]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, f"file://{tmp_path}/a.bin", str(folder)], capture_output=True, text=True
    )
    assert "FusionError: could not write " in done.stderr
    assert not (folder / "published").exists()


def test_a_break_ends_the_work(server: FaultyServer, get: Get) -> None:
    before = threading.active_count()

    def press(count: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(*(server.put(f"{i}.bin", DATA, "slow") for i in range(30)), progress=press)
    assert len(server.requests) < 30
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fetch")], before


def test_memory_does_not_grow_with_the_file(server: FaultyServer, get: Get) -> None:
    url = server.put("a.bin", DATA * 20)
    with peak(6e6):
        get(url)


def test_local_files(tmp_path: Path, folder: Path, get: Get) -> None:
    (tmp_path / "a b.zip").write_bytes(packed("a.zip", {"a": b"a"}))
    address = f"file://{tmp_path}/a b.zip"
    get(address)
    assert held(folder / "files") == {"a": b"a"}
    with pytest.raises(FusionError, match=r"nothing.zip: no such file"):
        get(f"file://{tmp_path}/nothing.zip")
    with pytest.raises(UsageError, match="corpus c: a.zip at foo://x/a.zip: foo:// cannot be read here"):
        get("foo://x/a.zip")


def test_a_part_of_a_local_file_is_gone_on_with(
    tmp_path: Path, folder: Path, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "BLOCK_BYTES", 100_000)
    source = tmp_path / "a.bin"
    source.write_bytes(DATA)
    files = fsspec.filesystem("file")
    read, asked = type(files).cat_file, []

    def failing(self: Any, path: str, start: int, end: int) -> Any:
        asked.append(start)
        if len(asked) == 12 or start < 0:
            raise TimeoutError("it went away")
        return read(self, path, start=start, end=end)

    monkeypatch.setattr(type(files), "cat_file", failing)
    get(f"file://{source}")
    assert held(folder / "published") == {"a.bin": DATA}
    assert asked == [*range(0, 1_200_000, 100_000), *range(1_100_000, 3_000_000, 100_000)]


def test_a_local_file_that_changes_while_it_is_read(
    tmp_path: Path, folder: Path, get: Get, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "BLOCK_BYTES", 1_000_000)
    source = tmp_path / "a.bin"
    source.write_bytes(DATA)
    files = fsspec.filesystem("file")
    read, asked = type(files).cat_file, []

    def meddling(self: Any, path: str, start: int, end: int) -> Any:
        asked.append(start)
        if len(asked) == 2:
            source.write_bytes(DATA[::-1])
        return read(self, path, start=start, end=end)

    monkeypatch.setattr(type(files), "cat_file", meddling)
    get(f"file://{source}")
    assert held(folder / "published") == {"a.bin": DATA[::-1]}


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import boto3  # type: ignore[import-untyped]

    made = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    made.start()
    host, port = made.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="corpora")
    yield client
    made.stop()
    fsspec.get_filesystem_class("s3").clear_instance_cache()


def test_buckets(bucket: Any, folder: Path, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "BLOCK_BYTES", 1_000_000)
    bucket.put_object(Bucket="corpora", Key="x/a.bin", Body=DATA)
    came = get(hashed("s3://corpora/x/a.bin"))
    assert came.sha256 == {"a.bin": sha256(DATA)}
    bucket.put_object(Bucket="corpora", Key="x/a.bin", Body=DATA[::-1])
    assert get(hashed("s3://corpora/x/a.bin")).kept_files == 1
    with pytest.raises(FusionError, match="b.bin cannot be fetched: s3://corpora/b.bin: no such file"):
        get("s3://corpora/b.bin")


def test_buckets_need_their_extra(get: Get) -> None:
    with pytest.raises(UsageError, match=r"gs:// cannot be read here .*pip install 'fusionrs-builder\[gcs\]'"):
        get("gs://bucket/a.zip")


def plain(path: str) -> str:
    return path.replace(" ", "_").replace("#", "_")


class Hub:
    """The Hub's tree and its files, the large ones elsewhere, as far as fetching goes."""

    def __init__(self, server: FaultyServer, store: FaultyServer) -> None:
        self.server, self.store, self.files = server, store, dict[str, bytes]()
        self.asked: list[str] = []
        server.pages = self.answer

    def put(self, path: str, data: bytes, *faults: str) -> None:
        self.files[path] = data
        self.store.put(plain(path), data, *faults)

    def answer(self, url: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes] | None:
        path = unquote(urlsplit(url).path)
        self.asked.append(path)
        if headers.get("authorization") != "Bearer hf_secret":
            return 401, {"X-Error-Code": "GatedRepo"}, b""
        listing, resolve = f"/api/datasets/org/name/tree/{REVISION}", f"/datasets/org/name/resolve/{REVISION}/"
        if path.startswith(listing):
            assert parse_qs(urlsplit(url).query)["recursive"] in (["true"], ["True"])
            below = path.removeprefix(listing).strip("/")
            found = [
                {
                    "type": "file", "path": name, "size": len(data), "oid": "0" * 40,
                    "lfs": {"oid": sha256(data), "size": len(data), "pointerSize": 1},
                }
                for name, data in self.files.items() if name.startswith(below)
            ]  # fmt: skip
            return 200, {"Content-Type": "application/json"}, json.dumps(found).encode()
        data = self.files.get(path.removeprefix(resolve))
        if data is None:
            return 404, {}, b""
        place = f"{self.store.url}/{plain(path.removeprefix(resolve))}"
        return 302, {"Location": place, "X-Linked-Etag": f'"{sha256(data)}"'}, b""


@pytest.fixture
def hub(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving() as store:
        yield Hub(server, store)


def test_files_of_the_hub(hub: Hub, folder: Path, get: Get) -> None:
    hub.put("deep/a b.zip", packed("a.zip", {"a": DATA}), "drop", "drop")
    hub.put("c#1.bin", DATA)
    base = f"hf://datasets/org/name@{REVISION}"
    get(f"{base}/deep/a b.zip", Address(url=f"{base}/c%231.bin", to="c.bin"))
    assert held(folder / "files") == {"a": DATA, "c.bin": DATA}
    assert hub.store.asked("deep/a_b.zip") == 3 and hub.store.served["deep/a_b.zip"] < 1.1 * len(DATA)
    assert all("authorization" not in headers for _, headers in hub.store.requests)


def test_the_hash_of_the_hub_is_kept_to(hub: Hub, folder: Path, get: Get) -> None:
    hub.put("a.bin", DATA, *["other"] * 3)
    with pytest.raises(FusionError, match="it is another file: sha256"):
        get(f"hf://datasets/org/name@{REVISION}/a.bin")


def test_a_pattern_stands_for_many_files_and_is_listed_once(hub: Hub, folder: Path, get: Get) -> None:
    for path in ("data/train/a 1.bin", "data/train/b.bin", "data/test/b.bin", "data/readme.md", "other/c.bin"):
        hub.put(path, path.encode())
    address = Address(url=f"hf://datasets/org/name@{REVISION}/data/*.bin", to="all")
    came = get(address)
    expected = {f"all/{name}": f"data/{name}".encode() for name in ("train/a 1.bin", "train/b.bin", "test/b.bin")}
    assert held(folder / "files") == expected
    assert came.sha256 == {name: sha256(data) for name, data in expected.items()}
    hub.asked.clear()
    assert get(address).kept_files == 3
    assert hub.asked == [], "a revision never changes"
    with pytest.raises(FusionError, match="org/name has no such file at that revision"):
        get(f"hf://datasets/org/name@{REVISION}/data/*.tar")


def test_the_hub_refuses(hub: Hub, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.put("a.bin", DATA)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    for path in ("a.bin", "*.bin"):
        with pytest.raises(FusionError, match="status 401.*Accept its terms on the Hub, and give a token"):
            get(f"hf://datasets/org/name@{REVISION}/{path}")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("hf://datasets/org/name/a.zip", r"write hf://datasets/ORG/NAME@REVISION/PATH, with the 40 digits of a commit"),
        ("hf://datasets/org/name@main/a.zip", "main can come to mean other files; pin the 40 digits of a commit"),
        ("hf://org/name@v1.0/*.zip", "v1.0 can come to mean other files"),
    ],
)
def test_addresses_of_the_hub_are_pinned(get: Get, url: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        get(url)


def test_without_a_network_the_hub_is_not_asked(hub: Hub, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.put("a.bin", DATA)
    get(f"hf://datasets/org/name@{REVISION}/a.bin")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert get(f"hf://datasets/org/name@{REVISION}/a.bin").kept_files == 1
    for path in ("b.bin", "*.bin"):
        with pytest.raises(UsageError, match="HF_HUB_OFFLINE is set"):
            get(f"hf://datasets/org/name@{REVISION}/{path}")
    with pytest.raises(UsageError, match="stands for many files, so it can have no mirrors"):
        get(Address(url=f"hf://datasets/org/name@{REVISION}/*.bin", mirrors=("https://127.0.0.1/a.bin",)))
