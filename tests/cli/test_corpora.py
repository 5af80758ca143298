"""`corpora list | show | check` as a user meets them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from fusionrs_builder.cli.main import main
from fusionrs_builder.corpora import check, registry

ENTRY = """
title = "Harbours"
kind = "detection"
bands = ["rgb", "nir"]
gsd_m = [0.5, 2]
records = 1234
splits = { train = 1000, test = 234 }
redistribution = "no"
unverified = ["who owns them"]
files = [{ url = "http://127.0.0.1:9/a.zip", mirrors = ["http://127.0.0.1:9/b.zip"], bytes = 2500000000, md5 = "MD5" }]

[settings]
format = "voc"
classes = { "1" = "ship", "2" = "quay" }
prefer = ["nir"]
license = "unknown"
source_url = "https://example.org"
source_revision = "v1"
""".replace("MD5", "d" * 32)


@pytest.fixture
def entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(registry, "FOLDER", tmp_path)
    monkeypatch.setattr(check, "PAUSE_S", 0.01)
    (tmp_path / "harbours.toml").write_text(ENTRY)
    return tmp_path


def invoke(*arguments: str, code: int = 0) -> tuple[str, str]:
    done = CliRunner().invoke(main, ["corpora", *arguments])
    assert done.exit_code == code, done.output
    return done.stdout, done.stderr


def test_list_is_a_table_of_every_entry() -> None:
    lines = invoke("list")[0].split("\n")
    assert lines[0].split()[:4] == ["NAME", "KIND", "BANDS", "IMAGES"]
    assert [line.split()[0] for line in lines[1:-1]] == registry.names()
    assert max(map(len, lines)) <= 160
    assert list(json.loads(invoke("list", "--json")[0])) == registry.names()


def test_list_says_what_is_known(entries: Path) -> None:
    row = invoke("list")[0].split("\n")[1]
    assert row.split() == ["harbours", "detection", "rgb,nir", "1,234", "2.5", "GB", "no", "fetch", "unknown"]


def test_show_is_for_people(entries: Path) -> None:
    page = invoke("show", "harbours")[0]
    for text in (
        "harbours: Harbours", "metres a pixel 0.5 to 2", "1,234 (train 1,000, test 234)", "https://example.org @ v1",
        "classes = 1: ship, 2: quay", "prefer = nir", "http://127.0.0.1:9/a.zip\n  or http://127.0.0.1:9/b.zip",
        f"2.5 GB, md5 {'d' * 32}", "Unverified\n  who owns them", "Not known\n  home page, how to cite it\n",
        "next: fusionrs-build download harbours\n",
    ):  # fmt: skip
        assert text in page
    assert "{" not in page and "[" not in page
    facts = json.loads(invoke("show", "harbours", "--json")[0])
    assert (facts["settings"]["format"], facts["unknown"]) == ("voc", ["home page", "how to cite it"])


@pytest.mark.parametrize("name", registry.names())
def test_every_entry_can_be_shown(name: str) -> None:
    page = invoke("show", name)[0]
    entry = registry.entry(name)
    assert entry is not None
    assert entry.title in page
    assert entry.settings.license in page
    assert all(file.url in page for file in entry.files)
    assert all(fact in page for fact in entry.unverified)
    assert f"next: fusionrs-build download {name}" in page


def test_check_exits_1_where_an_address_is_broken(entries: Path) -> None:
    out, err = invoke("check", "harbours", "--timeout", "1", code=1)
    lines = out.strip().split("\n")
    assert lines[0].split() == ["VERDICT", "CORPUS", "SIZE", "ADDRESS", "DETAIL"]
    assert [line.split()[:2] for line in lines[1:]] == [["unreachable", "harbours"]] * 2
    assert "2 addresses: 2 unreachable" in err
    assert "Traceback" not in err
    found = json.loads(invoke("check", "--json", code=1)[0])
    assert found["broken"] == 2
    assert found["addresses"][0] == {
        "corpus": "harbours", "url": "http://127.0.0.1:9/a.zip", "verdict": "unreachable",
        "detail": found["addresses"][0]["detail"], "bytes": None, "broken": True,
    }  # fmt: skip


def test_check_exits_0_where_none_is(entries: Path) -> None:
    (entries / "a.zip").write_bytes(b"PK\x03\x04")
    text = ENTRY.replace("http://127.0.0.1:9/a.zip", f"file://{entries}/a.zip").replace("2500000000", "4")
    (entries / "harbours.toml").write_text(text.replace("http://127.0.0.1:9/b.zip", f"file://{entries}/a.zip"))
    out, err = invoke("check")
    assert out.split("\n")[1].split()[:4] == ["ok", "harbours", "4", "B"]
    assert "2 addresses: 2 ok" in err


@pytest.mark.parametrize("command", ["show", "check"])
def test_an_unknown_corpus_is_a_wrong_call(entries: Path, command: str) -> None:
    assert "unknown corpus ships: the registry has harbours" in invoke(command, "ships", code=2)[1]
