r"""Captions as the words that metrics count, split as pycocoevalcap has Stanford's PTBTokenizer 3.4.1 split them.

A tokenised caption is one string of words in lower case with one space between, without quotes, dashes and the marks
that end sentences. Published figures rest on this splitting, its oddities too: `isn't` is `is n't`, `(a)` is
`-lrb- a -rrb-`, `£3` is `# 3`, `0.5m` is `0.5 m` and `5m` one word, `1 1/2` one word with a no-break space in it.

The rules here were found by comparing with the Java tool. Reproduced: words of any alphabet, numbers, hyphens, slashes,
contractions, possessives, abbreviations, currencies, fractions, brackets, tags, hashtags, simple addresses of the web
and of mail, common smileys and HTML entities. Not reproduced: telephone numbers, curly quotes between two letters that
are no apostrophe, heaps of several kinds of quotes, rarer entities and smileys, vowel signs of Indic scripts, and
which rare symbols and young letters the Java tool drops. A character that ends lines is a space. The Java tool looks on
into the next caption (`200 m.` before `The` is no abbreviation); here each caption stands alone.
"""

import functools
import re

CACHED = 1 << 16
"""Stretches of text without a space whose words are kept."""

DROPPED = frozenset(("", "'", "`", ".", "?", "!", ",", ":", "-", ";"))
"""What is no word. pycocoevalcap means to drop brackets too, but looks for `-LRB-` after lowering the case."""

_NUMERALS = "²³¹¼-¾\u0660-\u0669\u2070-\u209c\u2150-\u218b\u2460-\u24ff\u2776-\u2793"
_LETTER = rf"(?:(?![\d_{_NUMERALS}])\w|[\u0300-\u036f])"
_ALNUM = rf"(?:{_LETTER}|\d)"
_WORD = rf"{_LETTER}{_ALNUM}*"
_QUOTE = "['’]"
_ENDING = rf"{_QUOTE}(?:[sSmMdD]|[lL][lL]|[rR][eE]|[vV][eE])(?![A-Za-z])"
_ADDRESS = r"[^\s\"<>|()]"
_ADDRESS_END = r"[^\s\"<>|().!?,{}-]"

_ABBREVIATIONS = (
    "adj adm adv al ala alex apr ariz assn assoc asst atty aug ave bhd bldg blvd brig bros calif capt cf cie cmdr co "
    "col colo comdr conn corp cos cpl ct dak dec dept det dr drs elec ens esq est etc ext feb fla fri ft ga gen gov "
    "govs hon inc ind insp intl invt jan jos jr jul jun kan kans ky lieut lt ltd maj mar md messrs mfg mich minn mlle "
    "mme mo mon mont mr mrs ms msgr mt mtg natl neb nev nov oct okla penn pfc ph plc ppte ppty pres prof profs pte "
    "ptes pty ptys pvt rd rep reps rev rt sen sens sep sept seq sfc sgt spc sq sr st ste supt sys tel tenn thu thurs "
    "treas tue tues univ va vs vt wed wis wisc wm wyo"
).replace(" ", "|")
_CAPITALISED = "Ark Az Del Ill La Mass Miss Ore Pa Tex Wash"
_STARTERS = (
    "A About According Additionally After An As At But Earlier He Her Here However If In It Last Many More Now Once "
    "One Other Our She Since So Some Such That The Their Then There These They This We What When While Yet You"
)
"""A stop between one letter and one of these ends a sentence: `6 m. The car`, but not `6 m. Cars`."""


def _capitals(words: str) -> str:
    """An expression for each word as it is and in capitals."""
    return "|".join(f"{word}|{word.upper()}" for word in words.split())


_RULES = tuple(
    re.compile(rule)
    for rule in (
        # Words and what is written as one.
        _WORD,
        rf"{_ALNUM}+(?:[-_]{_ALNUM}+)+|\d{_ALNUM}+",
        r"[A-Za-z0-9][A-Za-z0-9.,]*(?:-[A-Za-z0-9]+)+",
        rf"{_WORD}(?:[.!?]{_WORD})+",
        r"[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2}",
        r"[A-Z]+(?:(?:&|&amp;|\+)[A-Z]+)+|[Cc]\+\+|[CcFf]#|[A-Z]+\$",
        # Numbers and fractions.
        r"[-+]?(?:\d+(?:[.,:]\d+)*|(?:[.,:]\d+)+)",
        r"(?:\d{1,4}[- ])?\d{1,4}/\d{1,4}",
        # Apostrophes. Where a rule has a group, that is the token, and the rest of the match only makes it longer.
        r"([A-Za-z]*[A-MO-Za-mo-z])[nN]['’‘`][tT]",
        rf"[nN]['’‘`][tT](?!{_LETTER})",
        _ENDING,
        rf"[dDoOlL](?!{_ENDING}){_QUOTE}{_ALNUM}{{2,}}",
        rf"[dDlL](?!{_ENDING}){_QUOTE}|([yY](?!{_ENDING}){_QUOTE}){_LETTER}",
        rf"(?i:{_QUOTE}(?:n{_QUOTE}|n(?![\w/])|em|till?|cause|tis|twas|[2-9]0s|\d\d(?=\s|$)))",
        rf"(?i:{_LETTER}*(?:ma{_QUOTE}am|e{_QUOTE}er)|ol{_QUOTE}|xi{_QUOTE}an|hallowe{_QUOTE}en|nor{_QUOTE}easter)(?!\w)",
        # Stops that belong to a word.
        rf"[A-Za-z]\.(?!\s+(?:{_capitals(_STARTERS)})(?:\s|$))",
        rf"(?i:ph\.d|[a-z](?:\.[a-z])+|{_ABBREVIATIONS})\.",
        rf"(?:{_capitals(_CAPITALISED)})\.",
        r"(?i:((?:art|ca|figs?|nos?|op|pp|prop)\.)\s*\d)",
        rf"({_ALNUM}+(?:[-.]{_ALNUM}+)*\.)[,;:]",
        # What is written on the web.
        rf"(?i:https?://{_ADDRESS}+{_ADDRESS_END})",
        rf"(?i:(?:[a-z0-9]+\.)+(?:com|net|org|edu)(?!\w)(?:/{_ADDRESS}+{_ADDRESS_END})?)",
        rf"(?i:www\.(?:[a-z0-9]+\.)+[a-z]{{2,4}}/{_ADDRESS}+{_ADDRESS_END})",
        r"[A-Za-z0-9][^\s\"<>|()]*@[^\s\"<>|().{}]+(?:\.[^\s\"<>|().{}]+)*",
        rf"@[A-Za-z_][A-Za-z_0-9]*|#{_LETTER}+",
        r"(?a:</?[A-Za-z][\w.:-]*(?: [A-Za-z][\w.:-]*(?:=(?:\"[^\"<>]*\"|[^\s\"<>]+))?)*\s*/?>|<[!?][^<>]*>)",
        r"(?i:&(?:amp|lt|gt|quot|apos|nbsp|[mn]dash);)|&#\d+;",
        r">?(?:[:;](?:-|')?[()DdPpO|\]\[{@\\]|=[()DdPpO|\]\[@])(?![A-Za-z0-9])|\^_\^|-_-",
        # Marks; all other characters are dropped.
        r"--+|\.{3,}|\*+|_+|#+|<<|>>|[?!]+",
        r"[!-~¡-¿×÷\u0387\u2013-\u2023\u2026\u2030-\u2044\u2070-\u218f\u2190-\u2bff\u3001\u3002\u30fb\uff01-\uff65]",
    )
)
"""The longest match is the next token; of equally long ones that of the first rule."""

_WRITTEN = {
    "cannot": "can not", "gonna": "gon na", "gotta": "got ta", "wanna": "wan na", "gimme": "gim me", "lemme": "lem me",
    "'tis": "'t is", "'twas": "'t was",
    "(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-",
    "£": "#", "€": "$", "¤": "$", "¢": "cents", "½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3",
    "&amp;": "&", "&lt;": "<", "&gt;": ">", "&quot;": "", "&apos;": "", "&nbsp;": "", "&mdash;": "", "&ndash;": "",
    '"': "", "“": "", "”": "", "«": "", "»": "", "‘": "", "’": "", "‛": "", "‹": "", "›": "",
    "–": "", "—": "", "―": "", "…": "",
}  # fmt: skip
"""Tokens that become others."""

_CURLY = re.compile(r"’(?:[smd]|ll|re|ve)|n[’‘]t")
"""Tokens whose apostrophe becomes straight; that of `o’clock` does not."""

_SPANNING = re.compile(r"[.\d]\s+\d|\b[A-Za-z]\.\s+[A-Z]|<[A-Za-z!?/][^<>]*\s")
"""Where a token may hold a space or hang on the word behind it: `1 1/2`, `no. 5`, `6 m. The`, `<a b>`."""


def tokenise(caption: str) -> str:
    """The words of a caption with one space between them, in lower case; empty where it has none."""
    caption = caption.replace("\xad", "")
    if _SPANNING.search(caption):
        return _words(caption)
    return " ".join(filter(None, map(_cached_words, caption.split())))


def _words(text: str) -> str:
    words, place = [], 0
    while place < len(text):
        matches = [match for rule in _RULES if (match := rule.match(text, place))]
        if matches:
            longest = max(matches, key=re.Match.end)
            group = longest.lastindex or 0
            words.append(_written(longest[group]))
            place = longest.end(group)
        else:
            place += 1
    return " ".join(word for word in words if word not in DROPPED)


_cached_words = functools.lru_cache(CACHED)(_words)


def _written(token: str) -> str:
    """A token as the Java tool prints it; empty for dashes, quotes and dots."""
    if token.startswith(("--", "...")):
        return ""
    token = token.lower()
    if token in _WRITTEN:
        return _WRITTEN[token]
    if _CURLY.fullmatch(token):
        return token.replace("’", "'").replace("‘", "`")
    if token.startswith((">", ":", ";", "=")):
        return token.replace("(", "-lrb-").replace(")", "-rrb-")
    return token.replace("&amp;", "&").replace(" ", "\xa0")
