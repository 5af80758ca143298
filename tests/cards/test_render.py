import ast
import html
import re
import unicodedata

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.cards import render
from fusionrs_builder.cards.render import inert, is_link, link, markdown, plain, quoted

MARKS = st.text("#+-=.:)(*_`~[]<>&|\\!$12 ab\n\t'\"/")
"""Texts that are nearly all Markdown."""


@given(st.text() | MARKS)
def test_markdown_of_any_text_is_one_inert_cell(text: str) -> None:
    found = markdown(text)
    assert not [c for c in found if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")]
    assert "|" not in found
    bare = re.sub(r"\\.", "", found)
    assert not set(bare) & set("\\`*_[]|~$<>")


def test_markdown_keeps_what_it_says() -> None:
    assert markdown("Straße & river, 3 < 4") == "Straße &amp; river, 3 &lt; 4"
    assert markdown("x" * 1000) == "x" * render.TEXT + "…"


@given(st.text() | MARKS)
def test_inert_says_all_and_begins_no_block(text: str) -> None:
    found = inert(text)
    assert html.unescape(re.sub(r"\\(.)", r"\1", found)) == plain(text)
    assert not re.match(r"[#+=:>|~`*_<-]|\d+[.)]", found)
    assert not set(re.sub(r"\\.", "", found)) & set("\\`*_[]|~$<>")


@pytest.mark.parametrize("text", ["# a", "- a", "+ a", "1. a", "12) a", "===", ":-:", "---"])
def test_inert_escapes_what_would_begin_a_block(text: str) -> None:
    assert inert(f" {text}") != text
    assert re.sub(r"\\(.)", r"\1", inert(text)) == text


def test_links_lead_to_web_addresses_only() -> None:
    assert link("a|b", "https://x.org/a?b=c#d") == "[a&#124;b](https://x.org/a?b=c#d)"
    for url in ("javascript:x", "https://x.org/a b", "https://x.org/a)(b", "https://x.org\n", ""):
        assert link("[a]", url) == r"\[a\]"


@given(st.text() | MARKS)
def test_quoted_is_the_text_in_python_and_all_to_be_seen(text: str) -> None:
    found = quoted(text)
    assert ast.literal_eval(found) == text
    assert found.isprintable()


def test_nothing_that_a_template_asks_for_may_be_missing() -> None:
    with pytest.raises(jinja2.UndefinedError, match="title"):
        render.render("datasheet", version="1", facts={"origins": {}})


@given(st.text())
def test_plain_is_one_line_that_keeps_its_words(text: str) -> None:
    found = plain(text)
    assert found.splitlines() in ([found], [])
    assert not [c for c in found if unicodedata.category(c)[0] == "C" or unicodedata.category(c) in ("Zl", "Zp")]
    assert [c for c in found if c != " "] == [
        c for c in text if not c.isspace() and not unicodedata.category(c).startswith("C")
    ]
    found.encode()


@pytest.mark.parametrize(
    ("url", "web"),
    [("https://x.org/a?b=c#d", True), ("javascript:x", False), ("https://x.org/a b", False), ("", False)],
)
def test_is_link(url: str, web: bool) -> None:
    assert is_link(url) is web
