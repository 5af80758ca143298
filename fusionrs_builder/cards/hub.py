"""What the front matter of a card may say for the Hub to take it."""

import re

from fusionrs_builder.cards.render import is_link

LICENCES = frozenset(
    {
        *("apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc", "cc0-1.0", "gpl-3.0", "mit", "odbl", "pddl", "unlicense"),
        *("cc-by-2.0", "cc-by-2.5", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nd-4.0"),
        *("cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0"),
        *("cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0"),
    }
)
"""Licence identifiers the Hub knows, of those that imagery and weights are published under."""

PART = r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?"
REPO_ID = re.compile(rf"(?!.*(--|\.\.|\.git$)){PART}/{PART}")
"""What `huggingface_hub` takes for one, with an organisation."""


def licence(name: str, url: str = "") -> dict[str, str]:
    """The keys that state a licence: by its identifier where the Hub has one, else by its name and address."""
    if name.lower() in LICENCES:
        return {"license": name.lower()}
    return {"license": "other", "license_name": slug(name), **({"license_link": url} if is_link(url) else {})}


def slug(text: str) -> str:
    """Small letters, digits, dots and dashes: what an identifier may be made of."""
    return re.sub(r"[^a-z0-9.]+", "-", text.lower()).strip("-") or "unnamed"


def repo_id(text: str) -> str | None:
    """The text where it can be a name `ORG/NAME` on the Hub, else None."""
    return text if REPO_ID.fullmatch(text) else None
