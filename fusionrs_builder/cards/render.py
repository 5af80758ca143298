r"""Any card from its Jinja template. What strangers wrote goes through a filter, and means nothing but itself.

| filter | for |
|---|---|
| `md` | a cell of a table or the middle of a line: cut to `TEXT` characters |
| `inert` | anywhere, at the start of a line too: in full |
| `link` | `text \| link(url)`: a link where the address is one, else `md` |
| `plain` | Markdown of our own: one line |
| `said` | `plain`, or `not stated` |
| `quoted` | a literal in a block of Python |
"""

import html
import json
import re
import unicodedata
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

TEXT = 240
"""Characters of a stranger's text shown in a table cell."""

ENTITIES = {c: f"&#{ord(c)};" for c in "\\|~$"}
"""Characters that renderers of Markdown do not agree how to escape."""


def render(name: str, **values: Any) -> str:
    """Fill a template.

    Args:
        name: of the card: `dataset`, `datasheet`, `translator`, `clip` or `vlm`.
        values: what the template asks for.

    Raises:
        jinja2.UndefinedError: it asks for something that was not given.
    """
    return _environment().get_template(name).render(**values)


def template(name: str) -> str:
    """The text of a template."""
    return (resources.files("fusionrs_builder") / "cards" / f"{name}.md.jinja").read_text(encoding="utf-8")


@cache
def _environment() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(template),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(md=markdown, inert=inert, link=link, plain=plain, said=said, quoted=quoted)
    return environment


def plain(text: object) -> str:
    """A stranger's text as one line: no control characters, no line breaks, no marks that turn the direction."""
    return " ".join("".join(" " if unicodedata.category(c).startswith("C") else c for c in str(text)).split())


def markdown(text: object) -> str:
    """A stranger's text, made to stand in one cell of a Markdown table and to mean nothing but itself."""
    line = plain(text)
    if len(line) > TEXT:
        line = line[:TEXT].rstrip() + "…"
    return _escaped(line)


def inert(text: object) -> str:
    """The same in full, for the start of a line too: no heading, list, rule or table begins there."""
    return re.sub(r"^(\d*)([#+=:.)-])", r"\1\\\2", _escaped(plain(text)))


def link(text: object, url: str) -> str:
    """A link with a stranger's text; the text alone where the address is none."""
    return f"[{markdown(text)}]({url})" if is_link(url) else markdown(text)


def is_link(url: str) -> bool:
    """Whether a stranger's text is a web address and nothing else."""
    return re.fullmatch(r"https?://[A-Za-z0-9._~:/?#@!$&'*+,;=%-]+", url) is not None


def said(text: object) -> str:
    """What only a person could say, as one line; `not stated` where nothing was."""
    return plain(text) or "not stated"


def quoted(text: object) -> str:
    """A text as a literal of Python, on one line, every character to be seen."""
    literal = json.dumps(str(text), ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in literal)


def _escaped(line: str) -> str:
    return re.sub(r"([`*_\[\]])", r"\\\1", "".join(ENTITIES.get(c, c) for c in html.escape(line, quote=False)))
