"""The result of an evaluation as tables for people, in Markdown and in HTML."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from fusionrs_builder.intervals import Score

TITLES = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "correlation": "correlation",
    "mae": "MAE, grey levels",
    "ndvi_error": "NDVI error",
    "lpips": "LPIPS",
    "edge_agreement": "edge agreement",
    "polarity": "measured polarity, share",
    "flips": "flips, share",
    "jumps": "jump, grey levels",
    "objects": "objects, share",
    "scenes": "scenes, share",
    "as_measured": "as measured, share",
    "c2st": "classifier accuracy",
}
"""Heads of the columns; a metric that is not here is its own head."""

CLOSENESS = ("psnr", "ssim", "correlation", "mae")


@dataclass(frozen=True)
class Table:
    """One table.

    Attributes:
        title: in plain words.
        heads: of the columns.
        rows: texts, as many as heads.
        note: what has to be known to read it.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str

    def markdown(self) -> str:
        lines = [self.heads, ["---"] * len(self.heads), *self.rows]
        body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return "\n\n".join(part for part in (f"**{self.title}**", body, self.note) if part)

    def html(self) -> str:
        heads = "".join(f"<th>{escape(text)}</th>" for text in self.heads)
        rows = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in self.rows)
        return f"<h2>{escape(self.title)}</h2><table><tr>{heads}</tr>{rows}</table><p>{escape(self.note)}</p>"


def tables(result: Mapping[str, Any]) -> Iterator[Table]:
    """Those that the result of `evaluate` or `evaluate_translator` has something for."""
    if result["n"]:
        yield from _paired(result)
    if "corpora" in result:
        yield _corpora(result["corpora"])
    if "unpaired" in result:
        yield from _unpaired(result["unpaired"])
    if "polarity" in result:
        yield from _polarity(result["polarity"])
    if "neighbours" in result:
        found = result["neighbours"]
        yield Table(
            "The same ground in neighbouring tiles that overlap",
            *_scores(found["scores"], ("flips", "jumps")),
            f"{found['n']} images of twelve pairs of neighbours: how often the two drawings are opposed (correlation "
            "below -0.2), and how many grey levels they differ by.",
        )
    if result.get("not_measured"):
        rows = [[name, reason] for name, reason in result["not_measured"].items()]
        yield Table("Not measured", ["what", "why"], rows, "")


def _paired(result: Mapping[str, Any]) -> Iterator[Table]:
    what = f"tiles of {result['tile']} px" if result["tile"] else "images"
    n = f"Means over n = {result['n']} {what}, with 95 % bootstrap intervals."
    yield Table("Against what was measured", *_scores(result["scores"], CLOSENESS), n)
    rest = [name for name in next(iter(result["scores"].values())) if name not in CLOSENESS]
    if rest:
        measured = result.get("measured", {}).get("edge_agreement")
        said = f" The edge agreement of what was measured is {Score(**measured)}." if measured else ""
        yield Table("Band, outlines and polarity", *_scores(result["scores"], rest), n + said)
    if result.get("differences"):
        yield _differences(result["scores"], result["differences"], CLOSENESS)


def _corpora(corpora: Mapping[str, Any]) -> Table:
    names = list(next(iter(corpora.values()))["scores"])
    rows = [
        [corpus, str(of["n"]), *(str(Score(**of["scores"][name]["correlation"])) for name in names)]
        for corpus, of in corpora.items()
    ]
    return Table("Correlation by corpus", ["corpus", "n", *names], rows, "Corpora are not weighed in the means above.")


def _unpaired(found: Mapping[str, Any]) -> Iterator[Table]:
    metrics = list(next(iter(found["scores"].values())))
    frames = ", ".join(f"{name} {of['mean']:.3g} (std {of['std']:.3g})" for name, of in found["frames"].items())
    yield Table(
        "Against real frames of other scenes",
        *_scores(found["scores"], metrics),
        f"{found['n']} drawn views and as many real frames, {found['window']} px of each. Six statistics: Wasserstein "
        "distance in standard deviations of the real frames, 0 is alike. Classifier: share of views it tells right, "
        f"0.5 is by chance. Real frames: {frames}.",
    )
    yield _differences(found["scores"], found["differences"], metrics)
    rows = [[name, f"{of['closer']} of {of['of']}", f"{of['surely']}"] for name, of in found["closer"].items()]
    yield Table("Statistics closer to real frames", ["than", "closer in", "of these, interval below 0"], rows, "")
    if "deep" in found:
        rows = [[n, f"{d['kid']:.4f} ({d['kid_std']:.4f})", f"{d['fid']:.1f}"] for n, d in found["deep"].items()]
        yield Table("KID and FID", ["translator", "KID (std)", "FID"], rows, "FID of so few images is biased upwards.")


def _polarity(found: Mapping[str, Any]) -> Iterator[Table]:
    metrics = [name for name in ("objects", "scenes", "as_measured") if name in next(iter(found["scores"].values()))]
    heads, rows = _scores(found["scores"], metrics)
    measured = found["measured"]
    if any(measured["n"].values()):
        rows.append(["measured", *(str(Score(**measured[m])) if m in measured else "" for m in metrics)])
    yield Table(
        "On the right side",
        heads,
        rows,
        "Objects against the ring around them, scenes against the median of their corpus.",
    )
    shares = found["classes"]
    names = list(next(iter(shares.values()))["shares"])
    rows = [
        [f"{label} {of['side']}", str(of["n"]), *(f"{of['shares'][n]:.2f}" for n in names)]
        for label, of in shares.items()
    ]
    yield Table("On the right side, by class", ["class", "n", *names], rows, "")


def _scores(scores: Mapping[str, Any], metrics: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    heads = ["translator", *(TITLES.get(metric, metric) for metric in metrics)]
    return heads, [[name, *(str(Score(**of[metric])) for metric in metrics)] for name, of in scores.items()]


def _differences(scores: Mapping[str, Any], differences: Mapping[str, Any], metrics: Sequence[str]) -> Table:
    heads, rows = _scores({f"less {name}": of for name, of in differences.items()}, metrics)
    note = (
        "Means of the differences on the same images: an interval without 0 is a difference that chance does not make."
    )
    return Table(f"{next(iter(scores))} less each control", heads, rows, note)
