"""croissant.json of a release: what loaders, catalogues and searches for datasets read of it.

Followed are Croissant 1.1, Croissant RAI 1.0 and, where records say where or how finely they were taken, GeoCroissant
1.0 (29 January 2026); its bands are told of each picture. Where their texts disagree: schema.org is
`https://schema.org/`, as mlcroissant has it (the appendix of 1.1 says `http`), and names of bands are
`geocr:bandNameList`, as the text of GeoCroissant says (its Turtle file says `bandNamesList`).

mlcroissant 1.1.1 reads a copy on this machine: structs, lists, lists of structs with lists in them; a null picture is
None, text is bytes. What it does not do, and how that is met:

- A list of structs that is null comes as one struct of nulls.
- Integers of a column with nulls pass through a float, and hashes lose their last digits.
- `cr:BoundingBox` refuses the lists of a Parquet file: `bbox` is an array of four, a box has four sub-fields.
- `references` must name the `field`; the plain reference of the specification is an error there.
- Because `split` refers to `splits`, all files are held in memory at once, unless one split is asked for:
  `records("default", {"default/split": "train"})` goes file by file.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fusionrs_builder import __version__
from fusionrs_builder.cards.render import is_link, plain
from fusionrs_builder.release.documents.datasheet import Composition, Publisher
from fusionrs_builder.release.documents.facts import Facts
from fusionrs_builder.release.documents.notice import Holding, Terms
from fusionrs_builder.release.documents.record_sets import record_set, splits
from fusionrs_builder.release.layout import FOLDERS, Config
from fusionrs_builder.release.sums import Hashed
from fusionrs_builder.stage import digest

NAME = "croissant.json"

VERSION = 1
"""Raised when something else is written of the same release."""

CROISSANT = "http://mlcommons.org/croissant/1.1"
RAI = "http://mlcommons.org/croissant/RAI/1.0"
GEO = "http://mlcommons.org/croissant/geo/1.0"

_TERMS = (
    *("annotation", "arrayShape", "citeAs", "column", "containedIn", "equivalentProperty", "excludes", "extract"),
    *("field", "fileObject", "fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath"),
    *("key", "md5", "parentField", "path", "readLines", "recordSet", "references", "regex", "repeated", "replace"),
    *("samplingRate", "sdVersion", "separator", "source", "subField", "transform", "unArchive", "value"),
)
CONTEXT = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "geocr": "http://mlcommons.org/croissant/geo/",
    "dct": "http://purl.org/dc/terms/",
    "prov": "http://www.w3.org/ns/prov#",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}
"""The appendix of Croissant 1.1, with the prefixes used here and the terms of 1.0 that mlcroissant misses else."""

CAME_WITH = {"publisher", "model", "template"}
"""Writers of captions that came with a corpus."""

LIMITS = {
    "translated": "Translated infrared is drawn from the visible view: it holds nothing else, and no temperature.",
    "measured": "Measured infrared of more than 8 bits is shown by a linear stretch fixed per corpus: compare its "
    "brightness within a corpus only.",
}
"""By the origin of the infrared view."""


def croissant(
    title: str,
    counted: Facts,
    holdings: Mapping[Terms, Holding],
    composition: Composition,
    publisher: Publisher,
    files: Sequence[Hashed],
) -> dict[str, Any]:
    """The description of a release; the same for the same arguments.

    Args:
        title: of the dataset.
        counted: its facts.
        holdings: what it holds under which terms.
        composition: what its columns hold.
        publisher: what only the publisher can say. Croissant wants a creator, a date and a page of every dataset: where
            nothing was said the creator is `not stated`, and `datePublished` and `url` are left out.
        files: of the release.
    """
    content = digest([[file.path, file.sha256] for file in files])[:12]
    bands = sorted({band for _, band, _ in counted.origins if band})
    place = _place(composition)
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [CROISSANT, RAI, *([GEO] if any(name.startswith("geocr:") for name in place) else [])],
        "name": plain(title),
        "description": _description(counted, holdings),
        "version": f"{publisher.version}+{content}",
        "isLiveDataset": False,
        "inLanguage": "en",
        "keywords": ["remote-sensing", "infrared", "multimodal", "vision-language", *bands],
        "license": _licences(holdings),
        "creator": [{"@type": "sc:Organization", "name": name} for name in publisher.creators or ("not stated",)],
        "citeAs": _bibtex(title, counted, publisher, content),
        "citation": "https://arxiv.org/abs/2606.17020",
        **({"url": publisher.url} if publisher.url else {}),
        **({"datePublished": publisher.published} if publisher.published else {}),
        "prov:wasDerivedFrom": _sources(holdings),
        **place,
        **_responsibility(counted, composition, publisher),
        "distribution": [*map(_file_object, files), *map(_file_set, FOLDERS)],
        "recordSet": [splits(counted), *(record_set(config, counted) for config in FOLDERS)],
    }


def _description(counted: Facts, holdings: Mapping[Terms, Holding]) -> str:
    rgb, ir = sum(held.rgb for held in holdings.values()), sum(held.ir for held in holdings.values())
    origins = Counter[str]()
    for (origin, _, _), records in counted.origins.items():
        origins[origin] += records
    return (
        f"Overhead imagery in visible light and infrared with captions, labels and boxes: {counted.records} records of "
        f"{len(counted.corpora)} corpora, each under its own terms. The visible view of {rgb} and the infrared view of "
        f"{ir} are in the files. A sensor measured the infrared of {origins['measured']}, a translator drew that of "
        f"{origins['translated']} from the visible view."
    )


def _licences(holdings: Mapping[Terms, Holding]) -> list[dict[str, str]]:
    found = sorted({(plain(t.license) or "not stated", t.license_url * is_link(t.license_url)) for t in holdings})
    return [{"@type": "sc:CreativeWork", "name": name, **({"url": url} if url else {})} for name, url in found]


def _sources(holdings: Mapping[Terms, Holding]) -> list[dict[str, str]]:
    found = sorted({(terms.corpus, terms.source_url, plain(terms.source_revision)) for terms in holdings})
    return [
        {
            "@type": "prov:Entity",
            "name": corpus,
            **({"url": url} if is_link(url) else {}),
            **({"version": revision} if revision else {}),
        }
        for corpus, url, revision in found
    ]


def _bibtex(title: str, counted: Facts, publisher: Publisher, content: str) -> str:
    said = {
        "title": plain(title),
        "author": " and ".join(publisher.creators),
        "year": publisher.published[:4],
        "url": publisher.url,
        "note": f"{counted.records} records, content {content}, built by fusionrs-builder {__version__}",
    }
    lines = [f"  {key} = {{{re.sub('[{}]', '', value)}}}" for key, value in said.items() if value]
    return ",\n".join(["@misc{fusionrs-release", *lines]) + "\n}"


def _place(composition: Composition) -> dict[str, Any]:
    """Where, when and how finely, as far as any record says."""
    whole, found = composition.whole, dict[str, Any]()
    if whole.box:
        found["geocr:coordinateReferenceSystem"] = "EPSG:4326"
        found["spatialCoverage"] = [
            {"@type": "sc:Place", "name": corpus, "geo": {"@type": "sc:GeoShape", "box": extent.box}}
            for corpus, extent in sorted(composition.extents.items())
            if extent.box
        ]
    if whole.period:
        found["temporalCoverage"] = whole.period
    if whole.gsd:
        low, high = whole.gsd
        # The context of Croissant 1.1 makes a plain `value` a word of its own.
        values = {"sc:value": low} if low == high else {"minValue": low, "maxValue": high}
        found["geocr:spatialResolution"] = {"@type": "sc:QuantitativeValue", **values, "unitText": "m"}
    return found


def _responsibility(counted: Facts, composition: Composition, publisher: Publisher) -> dict[str, Any]:
    """Of the RAI vocabulary, what the files show by themselves."""
    corpora = ", ".join(f"{corpus} ({n.total()} records)" for corpus, n in sorted(counted.corpora.items()))
    missing = ", ".join(f"{name} in {n}" for name, n in sorted(composition.missing.items()) if n)
    writers = ", ".join(f"{n} of {kind} by {plain(who)}" for (kind, who), n in sorted(counted.writers.items()))
    return {
        "rai:dataCollection": f"Pictures, labels and boxes were taken over from corpora: {corpora or 'none'}.",
        "rai:dataCollectionType": "Secondary Data analysis",
        "rai:dataCollectionMissingData": f"Null or an empty list: {missing or 'none'}.",
        "rai:dataAnnotationProtocol": f"Captions: {writers or 'none'}. Those by {', '.join(sorted(CAME_WITH))} came "
        "with a corpus, as did labels and boxes. caption_source names the checks by rule that captions passed.",
        "rai:machineAnnotationTools": sorted({plain(who) for _, who in counted.writers} - CAME_WITH),
        "rai:dataLimitations": [
            text for kind, text in LIMITS.items() if any(origin == kind for origin, _, _ in counted.origins)
        ],
        "rai:personalSensitiveInformation": "Not checked: no step looks for people, faces, number plates or names.",
        **({"rai:dataReleaseMaintenancePlan": publisher.maintenance} if publisher.maintenance else {}),
    }


def _file_object(file: Hashed) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path.rsplit("/", 1)[-1],
        "contentUrl": file.path,
        "contentSize": f"{file.size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": file.sha256,
    }


def _file_set(config: Config) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{config}-files",
        "name": f"{config}-files",
        "description": f"The files of the record set {config}.",
        "encodingFormat": "application/x-parquet",
        "includes": f"{FOLDERS[config]}/*.parquet",
    }
