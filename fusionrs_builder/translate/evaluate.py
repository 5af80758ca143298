"""Scores of a translator, always beside the grey controls, with n and 95 % intervals.

Against measured infrared of the same scene, against real frames of other scenes, and against what is known of the
ground. A kind of score is a file in `scores/`; what cannot be measured is said, with the reason.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fusionrs_builder.errors import FusionError
from fusionrs_builder.intervals import Score, summarise, table
from fusionrs_builder.translate.losses import SSIM_WINDOW
from fusionrs_builder.translate.pairs import Pair, pattern
from fusionrs_builder.translate.scores import lpips, neighbours, page, polarity, regression, unpaired
from fusionrs_builder.translate.scores.paired import METRICS, image_scores, ndvi_error
from fusionrs_builder.translate.scores.records import Entry, entries, read, read_pairs, sample
from fusionrs_builder.translate.scores.structure import structure
from fusionrs_builder.translate.scores.tables import tables
from fusionrs_builder.translate.translator import CONTROLS, Precision, Translator, load_translator
from fusionrs_builder.workspace import Workspace

__all__ = ["METRICS", "Score", "as_markdown", "evaluate", "evaluate_translator", "image_scores", "summarise"]

CHIPS = 24
"""Scenes on the page of pictures."""

FRAMES = 12
"""Real frames on it."""


def evaluate(
    translator: Translator,
    pairs: Iterable[Pair],
    tile: int | None = None,
    seed: int = 0,
    *,
    controls: Sequence[Translator] = (),
    band: str | None = None,
    distance: lpips.Distance | None = None,
) -> dict[str, Any]:
    """Score a translator and the controls `gray` and `gray-inverted` on the same pairs.

    Args:
        translator: to be scored.
        pairs: images and what was measured; one in memory at a time.
        tile: score full tiles of this many pixels, cut from the top left, instead of whole images.
        seed: of the bootstrap.
        controls: more of them.
        band: that was measured; None: the one that the translator draws.
        distance: LPIPS, where it is to be measured.

    Returns:
        `n` (images or tiles), `tile`, `seed`, `source` (of the translator), and `scores`: for each name a table of
        `psnr` (dB), `ssim`, `correlation`, `mae` (grey levels), `ndvi_error` (of near infrared), `lpips` (where it is
        measured), `edge_agreement` (with the visible view) and `polarity` (share of images that are positively
        correlated with what was measured), each with `mean`, `low`, `high`; `differences` of the translator from each
        control, in the same way; `measured`, the edge agreement of what was measured; `corpora`, where there are
        several, the same scores for each. JSON values only.

    Raises:
        FusionError: there is nothing to score, or an image is smaller than the SSIM window.
    """
    contestants = _contestants(translator, controls)
    nir = (band or translator.band) == "nir"
    values: dict[str, dict[str, list[float]]] = {name: {} for name in contestants}
    measured: list[float] = []
    corpora: list[str] = []
    for pair in pairs:
        for part in _tiles(pair, tile):
            measured.append(structure(part.ir, part.rgb))
            corpora.append(pair.key.partition("/")[0] if "/" in pair.key else "")
            for name, contestant in contestants.items():
                drawn = contestant.translate(part.rgb.transpose(2, 0, 1)[None])[0, 0]
                found = image_scores(drawn, part.ir)
                if nir:
                    found["ndvi_error"] = ndvi_error(drawn, part.ir, part.rgb)
                if distance and min(drawn.shape) >= lpips.SMALLEST:
                    found["lpips"] = distance(drawn, part.ir)
                found["edge_agreement"] = structure(drawn, part.rgb)
                found["polarity"] = float(found["correlation"] > 0)
                for metric, value in found.items():
                    values[name].setdefault(metric, []).append(value)
    if not measured:
        raise FusionError("nothing to score: no held-out pair" + (f" holds a tile of {tile} px" if tile else ""))
    result = {
        "source": translator.source,
        "n": len(measured),
        "tile": tile,
        "seed": seed,
        **table(values, seed),
        "measured": {"edge_agreement": asdict(summarise(measured, seed))},
    }
    if len(set(corpora)) > 1:
        result["corpora"] = {corpus: _of_corpus(values, corpora, corpus, seed) for corpus in sorted(set(corpora))}
    return result


def _contestants(translator: Translator, controls: Sequence[Translator] = ()) -> dict[str, Translator]:
    gray = [CONTROLS[name] for name in ("gray", "gray-inverted") if name != translator.name]
    return {each.name: each for each in (translator, *gray, *controls)}


def _of_corpus(values: dict[str, dict[str, list[float]]], corpora: list[str], corpus: str, seed: int) -> dict[str, Any]:
    """The table of the images of one corpus; LPIPS is left out, as it may lack the smallest images."""
    chosen = [n for n, name in enumerate(corpora) if name == corpus]
    part = {
        name: {metric: [found[n] for n in chosen] for metric, found in of.items() if len(found) == len(corpora)}
        for name, of in values.items()
    }
    return {"n": len(chosen), **table(part, seed)}


def as_markdown(result: dict[str, Any]) -> str:
    """The result of `evaluate` or `evaluate_translator` as tables."""
    return "\n\n".join(each.markdown() for each in tables(result))


def evaluate_translator(
    workspace: Workspace,
    spec: str,
    *,
    band: str = "nir",
    keys: str | None = None,
    tile: int | None = None,
    device: str = "auto",
    precision: Precision = "fp32",
    seed: int = 0,
    real: Workspace | None = None,
    regressions: bool = True,
    out: Path | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Score a translator on the records of a workspace.

    Args:
        workspace: whose rgb layer is read, and whose groups where it was curated.
        spec: of the translator, as in `load_translator`.
        band: to compare with.
        keys: regular expression searched in `<corpus>/<corpus_key>`: score these records only. None: all.
        tile: score tiles of this many pixels instead of whole images, where there is a measured view.
        device: as in `load_translator`.
        precision: as in `load_translator`.
        seed: of samples, folds and the bootstrap.
        real: workspace with real frames of the band, to compare with views of other scenes. None: those frames of
            `workspace` that have no visible image.
        regressions: fit the per-pixel regressions of near infrared on the pairs that are not scored, and score them
            too; a tenth of a second for each 128 x 128 px.
        out: folder of the report with its page of pictures; None: none is written.
        say: told what is being done.

    Returns:
        As `evaluate` (`n` 0 where nothing was measured of the same scene), with `band` and `keys`; `unpaired`,
        `polarity` and `neighbours`, as the modules of those names say; `not_measured`, the reason for each kind of
        score that is not there.

    Raises:
        UsageError: no such translator, or `keys` is not a regular expression.
        FusionError: no record has a visible image, and a key that matches; the report cannot be written; or as
            `load_translator`.
    """
    wanted = pattern(keys)
    translator = load_translator(spec, device, precision)
    frames = real or workspace
    visible = entries(workspace, lambda entry: entry.rgb)
    of_others = entries(frames, lambda entry: entry.band == band and not (real is None and entry.rgb))
    others = [entry for entry in visible if wanted and not wanted.search(entry.key)]
    if wanted:
        visible = [entry for entry in visible if wanted.search(entry.key)]
    chosen, rest = ([entry for entry in some if entry.band == band] for some in (visible, others))
    if not visible:
        raise FusionError(_nothing(workspace, band, keys, len(rest)))
    found: dict[str, dict[str, Any] | str] = {}

    fitted: Sequence[Translator] = ()
    if chosen and band == "nir" and regressions:
        some = sample(rest, regression.PAIRS, seed)
        say(f"fitting regressions on {len(some)} pairs that are not scored")
        fitted = regression.fit_regressions(read_pairs(workspace, some), len(some), seed)
        if not fitted:
            found["regressions"] = "every pair is scored: name some by --keys, and they are fitted on the rest"
    result: dict[str, Any] = {"source": translator.source, "n": 0, "tile": tile, "seed": seed, "scores": {}}
    if chosen:
        say(f"comparing with {len(chosen)} measured views of the same scene")
        distance = lpips.load_lpips()
        if isinstance(distance, str):
            found["lpips"] = distance
        network = None if isinstance(distance, str) else distance
        pairs = read_pairs(workspace, chosen)
        result = evaluate(translator, pairs, tile, seed, controls=fitted, band=band, distance=network)
    else:
        found["paired scores"] = f"no record with rgb and measured {band}"

    contestants = _contestants(translator)
    say("comparing with real frames of other scenes, and tile with tile")
    found["unpaired"] = unpaired.between(contestants, workspace, visible, frames, of_others, seed)
    known = sample([entry for entry in visible if polarity.tells(entry, band)], unpaired.MOST, seed)
    found["polarity"] = polarity.polarity(_contestants(translator, fitted), read(workspace, known), band, seed)
    large = sample([entry for entry in visible if entry.side >= neighbours.SMALLEST], neighbours.IMAGES, seed)
    found["neighbours"] = neighbours.neighbours(contestants, read(workspace, large), seed)

    missing = {name: reason for name, reason in found.items() if isinstance(reason, str)}
    result |= {name: part for name, part in found.items() if not isinstance(part, str)}
    result |= {"band": band, "keys": keys, "not_measured": missing | result.get("unpaired", {}).pop("not_measured", {})}
    if out is not None:
        shown = chips(translator, workspace, sample(chosen or visible, CHIPS, seed), band, tile)
        some_frames = read(frames, sample(of_others, FRAMES, seed))
        real_shown = [
            page.Chip(r.entry.key, {"real": unpaired.central(r.ir, r.entry.side)})
            for r in some_frames
            if r.ir is not None
        ]
        page.write(out, f"{translator.source} as {band}", result, shown, real_shown)
    return result


def _nothing(workspace: Workspace, band: str, keys: str | None, others: int) -> str:
    if keys is None:
        return (
            f"{workspace.url} holds no record with a visible image: download a corpus that has them, with {band} first "
            "in --prefer where it was measured too"
        )
    return f"no record with measured {band} has a key that matches {keys!r}: there are {others} others"


def chips(
    translator: Translator, workspace: Workspace, shown: Sequence[Entry], band: str, side: int | None
) -> list[page.Chip]:
    """What the page shows of each record: RGB, measured where it was, `gray`, and the drawn view.

    Args:
        translator: that draws.
        workspace: of the entries.
        shown: records with RGB, in the order of `entries`.
        band: that is shown where it was measured.
        side: of the central square that is shown; None: as `page.chip`.
    """
    drawn_by = [CONTROLS["gray"], *([translator] if translator.name != "gray" else [])]
    records = read(workspace, shown)
    return [page.chip(r.entry.key, r.rgb, r.measured(band), drawn_by, side) for r in records if r.rgb is not None]


def _tiles(pair: Pair, tile: int | None) -> Iterable[Pair]:
    height, width = pair.ir.shape
    if min(height, width, tile or height) < SSIM_WINDOW:
        raise FusionError(
            f"record {pair.key} or a tile is smaller than {SSIM_WINDOW} px: leave it out of the evaluation"
        )
    if tile is None:
        yield pair
        return
    for y in range(0, height - tile + 1, tile):
        for x in range(0, width - tile + 1, tile):
            part = (slice(y, y + tile), slice(x, x + tile))
            yield Pair(f"{pair.key}@{x},{y}", pair.rgb[part], pair.ir[part])
