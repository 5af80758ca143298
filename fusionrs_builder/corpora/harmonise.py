"""From what a reader found to one row of the rgb layer: checked, upright, 8-bit, resized or cut where asked, hashed."""

import itertools
import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from fusionrs_builder import pixels
from fusionrs_builder.corpora import objects, views
from fusionrs_builder.corpora.reader import Item, Refused, Sample
from fusionrs_builder.corpora.views import Encoded, Stretch, View
from fusionrs_builder.settings import CorpusSettings

UNSCALED = (1.0, 0.0)
"""Scale and offset of raw numbers that stand for themselves."""


def harmonise(item: Item, sample: Sample, corpus: str, settings: CorpusSettings, stretch: Stretch) -> dict[str, Any]:
    """One row of the rgb layer.

    Args:
        item: what was listed.
        sample: what was read.
        corpus: name of the corpus.
        settings: of the corpus.
        stretch: of its bands that are not 8-bit.

    Raises:
        Refused: unreadable, too small, without data, cloudy, of a resolution that is not wanted, of a depth no stretch
            is known for, of views that do not match, with a box outside the image, or with text that is none.
    """
    cloud = _cloud(sample, settings)
    _check_gsd(sample.gsd_m, settings)
    rgb = views.visible(sample, item.window, settings, stretch)
    ir = views.infrared(sample, item.window, settings, stretch)
    boxes, rgb, ir = _framed(item, sample, settings, rgb, ir)
    first = rgb or ir
    assert first is not None
    scale, size = _scale(first, settings)
    if scale != 1:
        rgb, ir = (None if view is None else view.shrunk(size) for view in (rgb, ir))
        boxes = objects.scaled(boxes, scale)

    name = re.sub(r"[^\w.-]+", "_", item.key)
    rgb_file, ir_file = (None if view is None else view.encoded(settings.image_format) for view in (rgb, ir))
    first, encoded = (rgb, rgb_file) if rgb else (ir, ir_file)
    assert first is not None
    assert encoded is not None
    shown = first.shown(encoded)
    seen = pixels.described(shown)
    rights = sample.rights or settings
    labels = _labels(item, sample, boxes, settings)
    _check_text(
        labels, (box["label"] for box in boxes), sample.captions, sample.template_captions, sample.model_captions
    )
    return {
        "id": f"{corpus}/{item.key}",
        "rgb": _image(rgb_file, name),
        "ir": _image(ir_file, name),
        "ir16": _image(None if ir is None else ir.encoded_deep(), name),
        "ir_band": sample.band if ir else None,
        "ir_source": sample.source if ir else None,
        "publisher_captions": sample.captions,
        "template_captions": sample.template_captions,
        "model_captions": sample.model_captions,
        "labels": labels,
        "boxes": boxes,
        "width": shown.shape[1],
        "height": shown.shape[0],
        "corpus": corpus,
        "corpus_key": item.key,
        "corpus_split": item.split or None,
        "corpus_group": item.group or _group(item, corpus, settings),
        "source_url": rights.source_url or None,
        "source_revision": rights.source_revision or None,
        "license": rights.license or None,
        "license_url": rights.license_url or None,
        "attribution": rights.attribution or None,
        "redistributable": rights.redistributable,
        "crs": sample.crs,
        "bbox": sample.bbox,
        "gsd_m": sample.gsd_m / scale if sample.gsd_m else None,
        "acquired": sample.acquired or _acquired(item.key, settings.acquired),
        "stretch": _stretch(sample, stretch),
        "pixel_sha256": pixels.pixel_sha256(shown),
        "phash": seen["phash"],
        "phash16": seen["phash16"],
        "look": seen["look"],
        "rgb_quality": {
            "saturation": seen["saturation"],
            "entropy": seen["entropy"],
            "nodata": first.nodata,
            "cloud": cloud,
        },
        "origin_family": rights.family or corpus,
    }


def _framed(
    item: Item, sample: Sample, settings: CorpusSettings, rgb: View | None, ir: View | None
) -> tuple[list[objects.Box], View | None, View | None]:
    """The views without their white border, and the boxes within them."""
    found = [view for view in (rgb, ir) if view]
    if not found:
        raise Refused("no_image", "neither a visible nor an infrared image")
    sizes = [view.image.size for view in found]
    if len(set(sizes)) > 1:
        raise Refused("unequal_views", f"visible is {sizes[0][0]}x{sizes[0][1]}, infrared {sizes[1][0]}x{sizes[1][1]}")
    window, whole = item.window, found[0].whole
    if settings.border and sample.published:
        found, border = views.without_border(found, settings.border)
        if border:
            window = (border, border, *found[0].image.size)
        rgb = found[0] if rgb else None
        ir = found[-1] if ir else None
    return objects.named(objects.placed(sample, window, whole), settings.label_names), rgb, ir


def _scale(view: View, settings: CorpusSettings) -> tuple[float, tuple[int, int]]:
    """The factor by which the record is resized (never enlarged), and its width and height then.

    Raises:
        Refused: the image is too small.
    """
    width, height = view.image.size
    shorter = min(width, height)
    if shorter < settings.min_side:
        raise Refused("too_small", f"{width}x{height} px; min_side is {settings.min_side}")
    if not settings.image_size or shorter <= settings.image_size:
        return 1.0, (width, height)
    scale = settings.image_size / shorter
    return scale, (round(width * scale), round(height * scale))


def _cloud(sample: Sample, settings: CorpusSettings) -> float | None:
    """The share of cloud; None where nobody looked."""
    if sample.cloud is None:
        return None
    share = float(sample.cloud.mean())
    if share > settings.max_cloud:
        raise Refused("cloudy", f"{share:.0%} lies under cloud; max_cloud is {settings.max_cloud:.0%}")
    return share


def _check_gsd(gsd_m: float | None, settings: CorpusSettings) -> None:
    """Raise Refused where a corpus of mixed resolutions holds one that is not wanted; one that is not known stays."""
    low, high = settings.gsd_range or (0, math.inf)
    if gsd_m and not low <= gsd_m <= high:
        raise Refused("other_gsd", f"{gsd_m:g} m per pixel; gsd_range is {low:g} to {high:g}")


def _labels(item: Item, sample: Sample, boxes: list[objects.Box], settings: CorpusSettings) -> list[str]:
    """Class names of the scene, then of its objects, each once, under the names the settings give them."""
    scene = objects.renamed((*item.labels, *sample.labels), settings.label_names)
    found = [*settings.labels, *scene, *sorted({box["label"] for box in boxes})]
    return [label for label in dict.fromkeys(found) if label not in settings.ignore_labels]


def _group(item: Item, corpus: str, settings: CorpusSettings) -> str | None:
    """What `group_pattern` finds in the path of the image, under the name of the corpus."""
    path = item.files[0] if item.files else item.key
    match = re.search(settings.group_pattern, path) if settings.group_pattern else None
    return f"{corpus}/{match['group']}" if match else None


def _check_text(*texts: Iterable[str]) -> None:
    """Raise Refused where a text holds what no UTF-8 can: JSON may escape half a character."""
    for text in itertools.chain(*texts):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Refused("bad_encoding", f"a caption or label is no text: {text!r}") from None


def _stretch(sample: Sample, stretch: Stretch) -> list[dict[str, Any]]:
    """The stretch of each band that went through one."""
    deep = [("visible", sample.rgb), (sample.band, sample.ir)]
    bands = [band for band, values in deep if band and isinstance(values, np.ndarray) and values.dtype != np.uint8]
    return [
        dict(zip(("band", "low", "high", "scale", "offset"), values, strict=True))
        for values in ((band, *stretch[band], *sample.scale.get(band, UNSCALED)) for band in bands if band in stretch)
    ]


def _image(encoded: Encoded | None, name: str) -> dict[str, Any] | None:
    return None if encoded is None else {"bytes": encoded[0], "path": f"{name}.{encoded[1]}"}


def _acquired(key: str, pattern: str) -> str | None:
    """The date in a key, by groups y, m, d, or y and j (day of the year)."""
    match = re.search(pattern, key) if pattern else None
    if not match:
        return None
    part = match.groupdict()
    if "j" in part:
        return str(np.datetime64(part["y"], "Y").astype("datetime64[D]") + (int(part["j"]) - 1))
    return "-".join(part[name] for name in ("y", "m", "d") if part.get(name))
