"""fusionrs.toml: what to build. Every flag is also a key here; a flag given wins, and is written back to the file.

The models below are the single list of parameters: the CLI makes its options from them (`cli/options.py`), the file is
checked against them, and each stage is handed the one that concerns it.
"""

import difflib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

import tomlkit
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from fusionrs_builder.errors import UsageError

if TYPE_CHECKING:  # pyarrow is not needed to show the help of a command
    from fusionrs_builder.workspace import Workspace

CONFIG = "fusionrs.toml"

Band = Literal["nir", "swir", "mwir", "lwir"]

BANDS = ("red", "green", "blue", *get_args(Band), "cloud")
"""What `bands` may name."""

ROLES = ("image", "ir", "caption", "label", "split", "id", "where", "prompt", "class", "score", "x", "y", "w", "h",
         "cx", "cy", *(f"{axis}{corner}" for corner in range(1, 5) for axis in "xy"))  # fmt: skip
"""What `columns` may name."""

PLAINLY = {
    "dict_type": "no table: give pairs, e.g. red=1,green=2",
    "missing": "missing: give as many values as it has, e.g. 0.9,0.05,0.05",
}
"""What pydantic says of a value in its own terms."""

GROUPS = {"split_pattern": {"split"}, "group_pattern": {"group"}, "label_pattern": {"label"}, "acquired": {"y"}}
"""Groups without which a pattern finds nothing."""


def _from_text(value: Any) -> Any:
    """Flags arrive as `a,b` or `k=v,k=v`; the file holds lists and tables."""
    if not isinstance(value, str):
        return value
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if parts and all("=" in part for part in parts):
        return dict(part.split("=", 1) for part in parts)
    return parts


Listed = BeforeValidator(_from_text)


class Section(BaseModel):
    """A table of fusionrs.toml. Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class BuildSettings(Section):
    """What all stages share."""

    shard_records: int = Field(1000, ge=1, le=100_000, description="records a shard, at most")
    shard_mb: int = Field(256, ge=1, description="megabytes of source a shard, about")
    max_reject_rate: float = Field(0.05, ge=0, le=1, description="share of refused items above which a command fails")
    seed: int = Field(0, ge=0, description="seed of every random choice")


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


class TranslateSettings(Section):
    """How the infrared view of an RGB image is drawn."""

    translator: str = Field(
        "nir-small",
        description="gray, gray-inverted, duplicate, nir-small, lwir-small, a folder, FILE.onnx, COMMAND.toml, or "
        "hf://ORG/NAME",
    )
    precision: Literal["fp32", "bf16"] = Field("fp32", description="arithmetic of the network")
    ir_format: Literal["jpeg", "png"] = Field("jpeg", description="how translated infrared is encoded")


class Price(Section):
    """Dollars for a million tokens of one model, as its seller states them."""

    input: float = Field(ge=0, description="dollars a million tokens of the question")
    output: float = Field(ge=0, description="dollars a million tokens of the answer")
    batch: float = Field(0.5, ge=0, le=1, description="share of these that the batch endpoint charges")


class CaptionSettings(Section):
    """Who writes the captions."""

    captioner: Literal["grounded", "chat"] = Field(
        "grounded",
        description="grounded: built in, from labels, boxes and measurements; chat: a model behind an OpenAI-like "
        "server, checked",
    )
    scene_captions: int = Field(2, ge=1, le=5, description="scene captions a record, at least")
    ir_captions: int = Field(2, ge=1, le=5, description="infrared captions a record")
    base_url: str = Field("https://api.openai.com/v1", description="chat: address of the server, ending in /v1")
    model: str = Field("", description="chat: name of the model; its key is read from OPENAI_API_KEY")
    views: Literal["both", "rgb", "ir"] = Field("both", description="chat: which images the model is shown")
    prompt: str = Field("fused", description="chat: fused, fusionrs (the recipe of the paper), or a file of yours")
    image_side: int = Field(512, ge=32, le=4096, description="chat: pixels of the longer side of images sent, at most")
    max_tokens: int = Field(400, ge=16, le=8192, description="chat: tokens of an answer, at most")
    temperature: float = Field(0.2, ge=0, le=2, description="chat: of the model")
    concurrency: int = Field(32, ge=1, le=1024, description="chat: questions under way at once, at most")
    timeout: float = Field(120, gt=0, description="chat: seconds to wait for an answer")
    patience: float = Field(600, gt=0, description="chat: seconds without any answer after which a server is given up")
    max_usd: float | None = Field(None, ge=0, description="chat: dollars, over all runs, that are never crossed")
    batch_api: bool = Field(False, description="chat: through the batch endpoint: within a day, at half the price")
    offline: bool = Field(False, description="chat: by a model in this process, by vllm or transformers; no server")
    prices: dict[str, Price] = Field(default_factory=dict, description="chat: dollars a million tokens, by model")

    @field_validator("base_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("no address: give one like http://localhost:8000/v1")
        if parts.username or parts.password or parts.query:
            raise ValueError(
                "an address with a secret in it would be kept in fusionrs.toml: set OPENAI_API_KEY instead"
            )
        return url


class CurateSettings(Section):
    """How records are grouped, split and sifted."""

    split: Annotated[tuple[float, float, float], Listed] = Field(
        (0.90, 0.05, 0.05), description="shares of train, validation and test, where no publisher split the records"
    )
    phash_radius: int = Field(
        4,
        ge=0,
        le=8,
        description="bits by which the hashes of near-duplicates differ, at most; above 4, a million records take long",
    )
    protect: Annotated[tuple[str, ...], Listed] = Field(
        (), description="benchmarks to keep out of train, with all that resembles them: CORPUS:SPLIT,..."
    )
    min_side: int = Field(32, ge=1, description="pixels of the shorter side, at least")
    min_entropy: float = Field(0.5, ge=0, le=8, description="bits of the grey levels below which a picture is blank")
    max_saturation: float = Field(0.5, ge=0, le=1, description="share of black and white pixels, at most")
    max_nodata: float = Field(0.5, ge=0, le=1, description="share of pixels without data, at most")
    max_same_caption: int = Field(
        1000, ge=1, description="records that one published sentence may stand in; more, and it says nothing of them"
    )

    @field_validator("split")
    @classmethod
    def _sums_to_one(cls, split: tuple[float, float, float]) -> tuple[float, float, float]:
        if not (min(split) >= 0 and abs(sum(split) - 1) <= 1e-6):  # false of what is no number, too
            raise ValueError("the three shares must be positive and sum to 1, e.g. 0.90,0.05,0.05")
        return split

    @field_validator("protect")
    @classmethod
    def _corpus_and_split(cls, protect: tuple[str, ...]) -> tuple[str, ...]:
        for each in protect:
            if not re.fullmatch(r"[a-z0-9_-]+:[^:]+", each):
                raise ValueError(f"{each!r} is no CORPUS:SPLIT, e.g. rsicd:test")
        return protect


class PushSettings(Section):
    """What is released."""

    name: str = Field("fusionrs", pattern=r"^[A-Za-z0-9][\w.-]*$", description="name of the release folder")
    title: str = Field("FusionRS", description="title of the dataset card")
    file_mb: int = Field(400, ge=1, le=5000, description="megabytes a Parquet file, about")


class Settings(Section):
    """The whole file."""

    build: BuildSettings = BuildSettings()
    corpora: dict[str, CorpusSettings] = Field(default_factory=dict)
    translate: TranslateSettings = TranslateSettings()
    caption: CaptionSettings = CaptionSettings()
    curate: CurateSettings = CurateSettings()
    push: PushSettings = PushSettings()

    @field_validator("corpora")
    @classmethod
    def _corpus_names(cls, corpora: dict[str, CorpusSettings]) -> dict[str, CorpusSettings]:
        for name in corpora:
            check_name(name)
        return corpora


def check_name(name: str) -> str:
    """A corpus name is part of file names and record ids.

    Raises:
        ValueError: it holds anything but lower-case letters, digits, `-` and `_`.
    """
    if not name or not name.isascii() or not all(c.isalnum() or c in "-_" for c in name) or name != name.lower():
        raise ValueError(f"corpus name {name!r}: use lower-case letters, digits, - and _ only, e.g. my-corpus")
    return name


def load(workspace: "Workspace") -> Settings:
    """Read and check fusionrs.toml; defaults where the file or a key is missing.

    Raises:
        UsageError: not TOML, an unknown key, or a value out of range; the message names the key and the fix.
    """
    return parse(_document(workspace).unwrap(), workspace.path(CONFIG))


def parse(values: dict[str, Any], where: str) -> Settings:
    """Check a whole configuration. `where` names it in errors."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise UsageError("\n".join(f"{where}: {_explain(item)}" for item in error.errors())) from None


def update(workspace: "Workspace", table: tuple[str, ...], values: dict[str, Any], save: bool = True) -> Settings:
    """Set keys of one table, check the whole, and write the file back with its comments kept.

    Args:
        workspace: where fusionrs.toml is.
        table: `("translate",)` or `("corpora", "naip")`.
        values: keys to set; None leaves a key as it is.
        save: False checks only (for a dry run).

    Returns:
        The settings as they now are.

    Raises:
        UsageError: as `load`.
    """
    document = _document(workspace)
    before = tomlkit.dumps(document)
    place: Any = document
    for name in table:
        if name not in place:
            place.add(name, tomlkit.table(is_super_table=name == "corpora"))
        place = place[name]
    for key, value in values.items():
        if value is not None and place.get(key) != value:
            place[key] = value
    settings = parse(document.unwrap(), "flags" if not save else workspace.path(CONFIG))
    after = tomlkit.dumps(document)
    if save and after != before:
        workspace.write_bytes(CONFIG, after.encode())
    return settings


def _document(workspace: "Workspace") -> tomlkit.TOMLDocument:
    if not workspace.exists(CONFIG):
        return tomlkit.document()
    try:
        return tomlkit.parse(workspace.read_bytes(CONFIG).decode())
    except OSError as error:
        raise UsageError(f"{workspace.path(CONFIG)} cannot be read: {error.strerror}") from None
    except (tomlkit.exceptions.ParseError, UnicodeDecodeError) as error:
        raise UsageError(f"{workspace.path(CONFIG)} is not valid TOML: {error}") from None


def _explain(item: Any) -> str:
    """One validation error as `key: what is wrong and what to do`."""
    parts = [str(part) for part in item["loc"]]
    key = ".".join(parts)
    if item["type"] != "extra_forbidden":
        # An address may hold a password.
        hidden = isinstance(item["input"], dict) or parts[-1] == "base_url"
        given = "" if hidden else f" (got {item['input']!r})"
        said = PLAINLY.get(item["type"], item["msg"].removeprefix("Value error, "))
        return f"{key}: {said}{given}"
    model: Any = Settings
    for part in parts[:-1]:
        model = CorpusSettings if model is None else {**_sections(), "corpora": None}.get(part, model)
    names = [field.alias or name for name, field in (model or CorpusSettings).model_fields.items()]
    close = difflib.get_close_matches(parts[-1], names, n=1)
    return f"{key}: unknown key; " + (f"did you mean `{close[0]}`?" if close else f"known keys: {', '.join(names)}")


def _sections() -> dict[str, type[Section]]:
    return {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }


def samples_folder() -> Path | None:
    """The folder of real sample corpora: `FUSIONRS_SAMPLES`, else `../shared/data` beside the working directory."""
    named = os.environ.get("FUSIONRS_SAMPLES")
    if named:
        return Path(named)
    beside = Path("../shared/data")
    return beside if beside.is_dir() else None
