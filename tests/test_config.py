import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder import config
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import check_name
from fusionrs_builder.workspace import Workspace


def test_defaults_hold_without_a_file(ws: Workspace) -> None:
    settings = config.load(ws)
    assert settings.translate.translator == "nir-small"
    assert settings.curate.split == (0.90, 0.05, 0.05)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[translat]\n", r"translat: unknown key; did you mean `translate`\?"),
        ("[translate]\ntranslater = 'gray'", r"translate\.translater: unknown key; did you mean `translator`\?"),
        ("[corpora.a]\nfromm = 'x'", r"corpora\.a\.fromm: unknown key; did you mean `from`\?"),
        ("[build]\nseed = 'x'", r"build\.seed: .*integer.*got 'x'"),
        ("[build]\nmax_reject_rate = 2", r"build\.max_reject_rate: .*less than or equal to 1"),
        ("[curate]\nsplit = [nan, 0.5, 0.5]", r"curate\.split: .*sum to 1, e\.g\. 0\.90,0\.05,0\.05"),
        ("[curate]\nsplit = [1, 1, 1]", r"curate\.split: .*sum to 1, e\.g\. 0\.90,0\.05,0\.05"),
        ("[corpora.a]\noverlap = 3", r"corpora\.a\.overlap: .*smaller than tile"),
        ("[corpora.'A b']\nformat = 'voc'", "lower-case letters, digits, - and _ only"),
        ("[push]\nname = '../x'", r"push\.name"),
        ("[corpora.a]\nacquired = '('", r"corpora\.a\.acquired: not a regular expression"),
        ("[corpora.a]\nclasses = 'a'", r"corpora\.a\.classes: no table: give pairs, e\.g\. red=1,green=2 \(got"),
        ("[corpora.a]\nbbox = '1,2'", r"corpora\.a\.bbox\.2: missing: give as many values as it has"),
        ("[corpora.a]\nsplit_pattern = '(a)'", r"corpora\.a\.split_pattern: .*needs a group of the name split"),
        ("[corpora.a]\npair_key = 'a'", r"corpora\.a\.pair_key: .*needs a group"),
        ("[corpora.a]\nbands = { rot = '1' }", r"corpora\.a\.bands: rot is none of red, green"),
        ("[corpora.a]\ncolumns = { img = 'a' }", r"corpora\.a\.columns: img is none of image, ir"),
        ("[corpora.a]\nannotations = '{foo}.json'", r"corpora\.a\.annotations: only \{stem\}, \{folder\}"),
        ("x = ", "not valid TOML"),
    ],
)
def test_a_mistake_names_the_file_the_key_and_the_fix(ws: Workspace, text: str, said: str) -> None:
    ws.write_bytes("fusionrs.toml", text.encode())
    with pytest.raises(UsageError, match=said) as caught:
        config.load(ws)
    assert "fusionrs.toml" in str(caught.value)


def test_several_mistakes_are_said_at_once(ws: Workspace) -> None:
    ws.write_bytes("fusionrs.toml", b"[build]\nseed = 'x'\nshard_mb = 0\n")
    with pytest.raises(UsageError, match=r"(?s)build\.shard_mb.*build\.seed|build\.seed.*build\.shard_mb"):
        config.load(ws)


def test_a_flag_is_written_back_and_comments_stay(ws: Workspace) -> None:
    ws.write_bytes("fusionrs.toml", b"# mine\n[translate]\ntranslator = 'gray' # why\n")
    settings = config.update(ws, ("translate",), {"translator": "duplicate", "precision": None})
    assert settings.translate.translator == "duplicate"
    assert ws.read_bytes("fusionrs.toml").decode() == '# mine\n[translate]\ntranslator = "duplicate" # why\n'


def test_a_dry_run_writes_nothing_back(ws: Workspace) -> None:
    assert config.update(ws, ("translate",), {"translator": "gray"}, save=False).translate.translator == "gray"
    assert not ws.exists("fusionrs.toml")


def test_text_flags_become_lists_and_tables(ws: Workspace) -> None:
    flags = {"from": "/x", "bands": "red=1, green=2,blue=3", "prefer": "lwir,nir", "labels": "a"}
    corpus = config.update(ws, ("corpora", "a"), flags).corpora["a"]
    assert corpus.bands == {"red": "1", "green": "2", "blue": "3"}
    assert corpus.prefer == ("lwir", "nir")
    assert corpus.labels == ("a",)
    assert config.load(ws).corpora["a"] == corpus
    assert config.update(ws, ("curate",), {"split": "0.8,0.1,0.1"}).curate.split == (0.8, 0.1, 0.1)


@given(st.text(alphabet="abcdefghij-_0123456789", min_size=1, max_size=20))
def test_plain_names_pass(name: str) -> None:
    assert check_name(name) == name


@given(st.text(min_size=1).filter(lambda s: any(not (c.isascii() and (c.isalnum() or c in "-_")) for c in s)))
def test_other_names_do_not(name: str) -> None:
    with pytest.raises(ValueError, match="lower-case"):
        check_name(name)


@pytest.mark.parametrize("key", ["source_url", "license_url"])
def test_a_published_address_holds_no_password(key: str) -> None:
    with pytest.raises(UsageError, match=f"corpora.c.{key}: .*leave user name and password out") as error:
        config.parse({"corpora": {"c": {key: "https://me:secret@x.org/a"}}}, "here")
    assert "secret" not in str(error.value)
    assert config.parse({"corpora": {"c": {key: "https://x.org/a@b"}}}, "here")
