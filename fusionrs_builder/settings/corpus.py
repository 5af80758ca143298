"""The table of one corpus: where it is, how it is laid out, what its publisher allows."""

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationInfo, field_validator

from fusionrs_builder.settings.section import Band, Listed, Section

BANDS = ("red", "green", "blue", *get_args(Band), "cloud")
"""What `bands` may name."""

ROLES = ("image", "ir", "caption", "label", "split", "id", "where", "prompt", "class", "score", "x", "y", "w", "h",
         "cx", "cy", *(f"{axis}{corner}" for corner in range(1, 5) for axis in "xy"))  # fmt: skip
"""What `columns` may name."""

GROUPS = {"split_pattern": {"split"}, "group_pattern": {"group"}, "label_pattern": {"label"}, "acquired": {"y"}}
"""Groups without which a pattern finds nothing."""


class CorpusSettings(Section):
    """One corpus: where it is, how it is laid out, and what its publisher allows."""

    source: str = Field("", alias="from", description="folder that holds the corpus as published")
    format: str = Field("", description="layout of the files; `auto` looks and says what it saw")
    modality: Literal["rgb", "ir"] = Field("rgb", description="what ordinary image files show")
    band: Band | None = Field(None, description="band of infrared image files (with modality = ir)")
    bands: Annotated[dict[str, str], Listed] = Field(
        default_factory=dict,
        description="where each band is: red=1,green=2,blue=3,nir=4 (geotiff) or red=*_B4.tif,... (bands)",
    )
    band_order: str = Field("", description="published order of bands by name, instead of `bands`, e.g. eurosat")
    prefer: Annotated[tuple[Band, ...], Listed] = Field(
        ("nir", "lwir", "swir", "mwir"), description="which measured band becomes `ir`, best first"
    )
    cir: str = Field("", description="images matching this pattern are colour-infrared stored as RGB: NIR, red, green")
    sensor: str = Field("", description="name of the instrument, for ir_source")
    stretch: Annotated[dict[str, tuple[float, float]] | None, Listed] = Field(
        None, description="linear stretch a band, in the table only: visible = [0, 3000], nir = [0, 5000]"
    )
    include: str = Field("", description="only images whose path matches this pattern, e.g. *_ms.tif")
    annotations: str = Field(
        "", description="annotation of an image, relative to it: {stem}.geojson or ../../labels/{folder}/{key}.xml"
    )
    captions: str = Field("", description="pattern of the caption (or COCO) files in the corpus folder: dataset_*.json")
    caption_origin: Literal["publisher", "template", "model"] = Field(
        "publisher", description="who wrote the captions: people, a template, or a language model"
    )
    columns: Annotated[dict[str, str], Listed] = Field(
        default_factory=dict, description="columns of a table by name, or number from 0: image=filepath,caption=title"
    )
    splits: Annotated[dict[str, str], Listed] = Field(
        default_factory=dict, description="lists of image names a split: train=train.txt,test=test.txt"
    )
    split_pattern: str = Field("", description="regular expression with a group split, matched on an image's path")
    group_pattern: str = Field(
        "", description="regular expression with a group group: images in which it finds the same stay in one split"
    )
    label_pattern: str = Field("", description="regular expression with a group label, matched on an image's path")
    image_store: str = Field("", description="format of the images that a text table is joined to, e.g. bands")
    masks: str = Field("", description="mask of an image, relative to it: ../masks_png/{stem}.png")
    classes: Annotated[dict[str, str], Listed] = Field(
        default_factory=dict, description="names of class numbers or mask colours: 2=building,#00ffff=urban"
    )
    visible: str = Field("", description="pairs: pattern of the visible images, e.g. *img/*.jpg")
    infrared: str = Field("", description="pairs: pattern of the infrared images, e.g. *imgr/*.jpg")
    pair_key: str = Field(
        "", description="regular expression whose groups, joined by `/`, are the {key} that files of one scene share"
    )
    max_shift: float = Field(16, ge=0, description="pixels the views of a pair may be apart, by phase correlation")
    border: int = Field(0, ge=0, description="pixels of pure white to cut off on every side, where they are there")
    cloud_mask: Literal["", "landsat-qa", "sentinel2-scl"] = Field(
        "", description="how the band named `cloud` tells cloud"
    )
    max_cloud: float = Field(1, ge=0, le=1, description="share of cloud above which a record is refused")
    object_label: str = Field("", description="label of objects whose annotation names none")
    labels: Annotated[tuple[str, ...], Listed] = Field((), description="labels every record of the corpus has")
    ignore_labels: Annotated[tuple[str, ...], Listed] = Field(
        (), description="labels that are not objects, e.g. DontCare"
    )
    label_names: Annotated[dict[str, str], Listed] = Field(
        default_factory=dict, description="names for the publisher's labels: feright_car=freight car"
    )
    index: str = Field("", description="fusionrs-index: the published index, .jsonl or .jsonl.gz")
    sources: Annotated[dict[str, str], Listed] = Field(
        default_factory=dict, description="fusionrs-index: your copies: RSICD=/data/rsicd,NWPU=/data/nwpu"
    )
    stac_url: str = Field("", description="stac: address of the catalogue, instead of the registry's")
    bbox: Annotated[tuple[float, float, float, float] | None, Listed] = Field(
        None, description="stac: W,S,E,N in degrees"
    )
    year: int | None = Field(None, ge=1972, le=2100, description="stac: year of acquisition")
    max_scenes: int = Field(4, ge=1, description="stac: scenes at most, the clearest first")
    gsd_range: Annotated[tuple[float, float] | None, Listed] = Field(
        None, description="metres per pixel, finest and coarsest, outside which a record is refused: 0.1,1"
    )
    acquired: str = Field("", description="regular expression with groups y, m, d that finds the date in a key")
    image_size: int | None = Field(
        None, ge=16, le=4096, description="resize so that the shorter side has this many pixels"
    )
    tile: int | None = Field(None, ge=16, le=8192, description="cut larger images into tiles of this many pixels")
    overlap: int = Field(0, ge=0, description="pixels shared by neighbouring tiles")
    min_side: int = Field(16, ge=1, description="smaller images are refused")
    min_valid: float = Field(0.5, ge=0, le=1, description="share of pixels with data below which a record is refused")
    image_format: Literal["jpeg", "png"] = Field(
        "jpeg", description="how an RGB image that is resized or cut is encoded"
    )
    title: str = Field("", description="full name of the corpus")
    license: str = Field("", description="SPDX name, or the publisher's words")
    license_url: str = Field("", description="where the licence can be read")
    attribution: str = Field("", description="the line to show with the images")
    redistributable: bool = Field(False, description="the licence lets pixels be published again")
    source_url: str = Field("", description="where the corpus is published")
    source_revision: str = Field("", description="commit, version or date of the copy")
    family: str = Field("", description="corpora that share images have one family")

    @field_validator("acquired", "split_pattern", "group_pattern", "label_pattern", "pair_key")
    @classmethod
    def _is_a_pattern(cls, pattern: str, info: ValidationInfo) -> str:
        try:
            found = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from None
        if pattern and (missing := GROUPS.get(info.field_name or "", set()) - found.groupindex.keys()):
            raise ValueError(f"the regular expression needs a group of the name {missing.pop()}, as in (?P<name>...)")
        if pattern and not found.groups:
            raise ValueError("the regular expression needs a group, in ( )")
        return pattern

    @field_validator("source_url", "license_url")
    @classmethod
    def _holds_no_password(cls, url: str) -> str:
        if "@" in url.partition("://")[2].partition("/")[0]:
            raise ValueError("it is published with every record: leave user name and password out")
        return url

    @field_validator("bands", "columns")
    @classmethod
    def _names_are_known(cls, table: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        known = BANDS if info.field_name == "bands" else ROLES
        if other := [name for name in table if name not in known]:
            raise ValueError(f"{other[0]} is none of {', '.join(known)}")
        return table

    @field_validator("annotations", "masks")
    @classmethod
    def _is_a_template(cls, template: str) -> str:
        try:
            template.format(stem="", folder="", split="", key="")
        except (KeyError, IndexError, ValueError):
            raise ValueError(
                "only {stem}, {folder}, {split} and {key} are filled in, e.g. {stem}_labels.geojson"
            ) from None
        return template

    @field_validator("bbox")
    @classmethod
    def _is_a_box(cls, bbox: tuple[float, float, float, float] | None) -> tuple[float, float, float, float] | None:
        if bbox is not None:
            west, south, east, north = bbox
            if not (-180 <= west < east <= 180 and -90 <= south < north <= 90):
                raise ValueError("W,S,E,N in degrees with W < E and S < N, e.g. -97.8,30.2,-97.7,30.3")
        return bbox

    @field_validator("overlap")
    @classmethod
    def _overlap_below_tile(cls, overlap: int, info: Any) -> int:
        tile = info.data.get("tile")
        if overlap and (tile is None or overlap >= tile):
            raise ValueError("overlap must be smaller than tile: give both, e.g. tile = 512, overlap = 64")
        return overlap

    @field_validator("tile")
    @classmethod
    def _no_border_around_tiles(cls, tile: int | None, info: Any) -> int | None:
        if tile is not None and info.data.get("border"):
            raise ValueError("a corpus whose images have a border cannot be cut into tiles: leave one of the two out")
        return tile
