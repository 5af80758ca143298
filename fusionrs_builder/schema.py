"""The columns of every layer and of the release, written once.

Arrow schemas are read off `COLUMNS`; the Hugging Face features of the release are read off the Arrow schema
(`release/features.py`). A layer holds the columns that name it; the release holds every column marked `release`, and
`made_from` is in no layer: it tells of them.
The rgb layer has `ir` only where a sensor measured it; the ir layer has it for every record.
"""

from dataclasses import dataclass

import pyarrow as pa

SCHEMA_VERSION = 1
"""Raised when a column changes its name or meaning. A workspace made by a newer version is refused."""

LAYERS = ("rgb", "ir", "captions", "curation")
"""The layers whose shards hold the same records in the same order."""

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""Storage of a Hugging Face `Image`: encoded bytes, and a file name that carries the right extension."""

BOX = pa.struct(
    [
        ("label", pa.string()),
        ("x0", pa.float32()),
        ("y0", pa.float32()),
        ("x1", pa.float32()),
        ("y1", pa.float32()),
        ("polygon", pa.list_(pa.float32())),
    ]
)
"""A labelled object. Pixels of `rgb` (of `ir` where `rgb` is null), x to the right, y down, x1 and y1 exclusive.
`polygon` is x, y, x, y ... of the outline, empty when the publisher gave only a box."""

STRETCH = pa.struct(
    [
        ("band", pa.string()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("scale", pa.float64()),
        ("offset", pa.float64()),
    ]
)
"""The linear stretch of one band, fixed per corpus: 8-bit value = 255 * (value - low) / (high - low), clipped, where
value = scale * raw + offset: reflectance or kelvin where the source states a scale, else the raw number itself."""

IR_QUALITY = pa.struct(
    [
        ("edge_agreement", pa.float32()),
        ("saturation", pa.float32()),
        ("entropy", pa.float32()),
        ("polarity", pa.float32()),
    ]
)
"""edge_agreement: correlation of the gradient magnitudes of `ir` and `rgb`, -1..1, null without `rgb`;
saturation: share of pixels at 0 or 255, 0..1; entropy: of the 256-bin histogram, bits, 0..8;
polarity: share of objects of known physics on the right side of their surroundings, 0..1, null where none is known."""

RGB_QUALITY = pa.struct(
    [
        ("saturation", pa.float32()),
        ("entropy", pa.float32()),
        ("nodata", pa.float32()),
        ("cloud", pa.float32()),
    ]
)
"""saturation: share of pixels with every channel at 0 or 255, 0..1; entropy: of the 256-bin histogram of the luma,
bits, 0..8; nodata, cloud: shares of the image, 0..1, null where nobody looked. Of `ir` where `rgb` is null."""

CAPTION_SOURCE = pa.struct(
    [
        ("scene", pa.list_(pa.string())),
        ("ir", pa.list_(pa.string())),
        ("prompt_sha256", pa.string()),
        ("checks", pa.list_(pa.string())),
        ("failed", pa.list_(pa.string())),
    ]
)
"""Who wrote each scene caption and each IR caption, in their order: `publisher`, `model` or `template` for those that
came with the corpus (by people, by a language model, by rule), `grounded@v1` or `chat:<model>` for those made here;
sha256 of the prompt or phrase file; names of the checks that all of them passed; and `check: what was wrong` of what a
model said that was left out, so that it was asked again or the grounded writer filled in."""

MADE_FROM = pa.struct([("shard", pa.string()), ("rgb", pa.string()), ("ir", pa.string())])
"""The shard of the workspace that held the record, and the sha256 of the rows of its rgb and ir layers: who builds by
the recipe of the release gets the same."""


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, the layers that hold it, whether the release does, and what it means."""

    name: str
    type: pa.DataType
    layers: tuple[str, ...]
    doc: str
    release: bool = True


_TEXTS = pa.list_(pa.string())

COLUMNS = (
    Column("id", pa.string(), LAYERS, "`<corpus>/<publisher's key>`; stable across rebuilds, unique"),
    Column("rgb", IMAGE, ("rgb",), "8-bit RGB; null for a corpus that has infrared only"),
    Column("ir", IMAGE, ("rgb", "ir"), "the infrared view, one channel, 8-bit"),
    Column("ir16", IMAGE, ("rgb", "ir"), "the sensor's 16-bit original as PNG, where it has one"),
    Column("ir_origin", pa.string(), ("ir",), "`measured` (a sensor saw it) or `translated` (a model drew it)"),
    Column("ir_band", pa.string(), ("rgb", "ir"), "`nir`, `swir`, `mwir` or `lwir`; null for a grey control"),
    Column("ir_source", pa.string(), ("rgb", "ir"), "sensor and band, or translator `@` 12 digits of its sha256"),
    Column("ir_quality", IR_QUALITY, ("ir",), "edge agreement, saturation, entropy, polarity of the infrared view"),
    Column("scene_captions", _TEXTS, ("captions",), "what the scene holds"),
    Column("ir_captions", _TEXTS, ("captions",), "what the infrared view shows"),
    Column("caption_source", CAPTION_SOURCE, ("captions",), "who wrote each caption, the prompt, the checks passed"),
    Column("publisher_captions", _TEXTS, ("rgb",), "captions by people, as published", release=False),
    Column("template_captions", _TEXTS, ("rgb",), "captions made by rule from labels or boxes", release=False),
    Column("model_captions", _TEXTS, ("rgb",), "captions by a language model, as published", release=False),
    Column("labels", _TEXTS, ("rgb",), "class names of the scene or of its objects"),
    Column("boxes", pa.list_(BOX), ("rgb",), "labelled objects in pixels (x0,y0,x1,y1), with outline where published"),
    Column("width", pa.int32(), ("rgb",), "pixels"),
    Column("height", pa.int32(), ("rgb",), "pixels"),
    Column("corpus", pa.string(), ("rgb",), "name of the corpus"),
    Column("corpus_key", pa.string(), ("rgb",), "the publisher's key of the record, with the tile where one was cut"),
    Column("corpus_split", pa.string(), ("rgb",), "the publisher's own split, where there is one"),
    Column(
        "corpus_group", pa.string(), ("rgb",), "the publisher's own group of records, where there is one", release=False
    ),
    Column("source_url", pa.string(), ("rgb",), "where the corpus is published"),
    Column("source_revision", pa.string(), ("rgb",), "commit, version or date of the publisher's copy"),
    Column("license", pa.string(), ("rgb",), "SPDX name or the publisher's words"),
    Column("license_url", pa.string(), ("rgb",), "where the licence can be read"),
    Column("attribution", pa.string(), ("rgb",), "the line that must be shown with the image"),
    Column("redistributable", pa.bool_(), ("rgb",), "whether pixels may be published again; unknown means no"),
    Column("crs", pa.string(), ("rgb",), "EPSG code of the source, when georeferenced"),
    Column("bbox", pa.list_(pa.float64()), ("rgb",), "west, south, east, north in degrees (EPSG:4326)"),
    Column("gsd_m", pa.float32(), ("rgb",), "metres per pixel"),
    Column("acquired", pa.string(), ("rgb",), "ISO 8601 date or time, as exact as published"),
    Column("stretch", pa.list_(STRETCH), ("rgb",), "the linear stretch of each band that was not 8-bit"),
    Column("pixel_sha256", pa.string(), ("rgb",), "sha256 of the decoded pixels of `rgb`, of `ir` where `rgb` is null"),
    Column("phash", pa.uint64(), ("rgb",), "64-bit DCT perceptual hash of the same pixels"),
    Column("phash16", pa.list_(pa.uint64()), ("rgb",), "phash of its eight turns, and of these cropped", release=False),
    Column("look", pa.binary(), ("rgb",), "16 x 16 means of the luma, a byte each", release=False),
    Column("rgb_quality", RGB_QUALITY, ("rgb",), "saturation, entropy, nodata and cloud of the picture", release=False),
    Column("ir_sha256", pa.string(), ("ir",), "sha256 of the decoded pixels of `ir`"),
    Column("ir_phash", pa.uint64(), ("ir",), "64-bit DCT perceptual hash of `ir`"),
    Column("ir_look", pa.binary(), ("ir",), "16 x 16 means of `ir`, a byte each", release=False),
    Column("origin_family", pa.string(), ("rgb",), "corpora known to share images have one family"),
    Column("group_id", pa.string(), ("curation",), "records that must not be split apart share a group"),
    Column(
        "grouped_by", _TEXTS, ("curation",), "what joined the record to others of its group, see curate", release=False
    ),
    Column("split", pa.string(), ("curation",), "train, validation or test; a group lives in one split only"),
    Column("made_from", MADE_FROM, (), "the shard of the build that held it, and the sha256 of its rgb and ir layers"),
    Column("keep", pa.bool_(), ("curation",), "whether the release holds the record", release=False),
    Column("reason", pa.string(), ("ir", "captions", "curation"), "`code: message` when refused", release=False),
)

REJECTS = pa.schema([("key", pa.string()), ("reason", pa.string()), ("message", pa.string()), ("files", _TEXTS)])
"""Items that never became a record: publisher's key, reason code, what happened, the files it came from."""


def arrow_schema(layer: str) -> pa.Schema:
    """The Arrow schema of a layer (`rgb`, `ir`, `captions`, `curation`, `rejects`) or of the `release`."""
    if layer == "rejects":
        return REJECTS
    if layer == "release":
        return pa.schema([(c.name, c.type) for c in COLUMNS if c.release])
    return pa.schema([(c.name, c.type) for c in COLUMNS if layer in c.layers])
