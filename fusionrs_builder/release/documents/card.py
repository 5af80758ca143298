"""README.md of the release: the dataset card, whose front matter tells `load_dataset` where the splits are."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from fusionrs_builder import __version__, schema
from fusionrs_builder.cards import hub
from fusionrs_builder.cards.render import is_link, render, template
from fusionrs_builder.files import Files
from fusionrs_builder.release.documents.facts import Facts
from fusionrs_builder.release.documents.notice import Holding, Terms
from fusionrs_builder.release.features import features
from fusionrs_builder.release.layout import FOLDERS, SPLITS, Config, fits, pattern
from fusionrs_builder.release.recipe import Recipe
from fusionrs_builder.settings import PushSettings
from fusionrs_builder.shards import Row
from fusionrs_builder.stage import digest
from fusionrs_builder.workspace import Workspace

NAME = "README.md"
MARK = re.compile(r"<!-- fusionrs-builder release ([0-9a-f]{64}) -->")
"""In every card: that the folder is a release, and what it was made from."""

COPY = "<!-- fusionrs-builder copy "
"""In the card of a copy in another format, beside the mark; the name of the format follows."""

SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))


def version() -> str:
    """Changes when the card would be written otherwise from the same facts."""
    return digest([template("dataset"), __version__, [column.doc for column in schema.COLUMNS]])


def fingerprint_of(files: Files, folder: str) -> str | None:
    """What the standing card was made from; None when there is no card, or it is none of ours."""
    name = f"{folder}/{NAME}" if folder else NAME
    if not files.exists(name):
        return None
    found = MARK.search(files.read_bytes(name).decode(errors="replace"))
    return found and found[1]


class Told(NamedTuple):
    """What the card tells beside the counts.

    Attributes:
        recipe: how the release was built.
        examples: rows to show, see `examples.write`.
        holdings: what is held under which terms, see `notice.gather`.
    """

    recipe: Recipe
    examples: Sequence[Row]
    holdings: Mapping[Terms, Holding]


def write(
    workspace: Workspace,
    folder: str,
    counted: Facts,
    told: Told,
    files: Sequence[str],
    fingerprint: str,
) -> None:
    """Write the card.

    Args:
        workspace: where.
        folder: of the release.
        counted: its facts.
        told: what else there is to tell.
        files: names of its files, in both configurations.
        fingerprint: of the card, to find it current the next time.
    """
    from huggingface_hub import DatasetCardData

    settings = told.recipe.push
    text = render(
        "dataset",
        front_matter=DatasetCardData(**front_matter(settings, counted, _sizes(workspace, folder, files))).to_yaml(),
        mark=f"<!-- fusionrs-builder release {fingerprint} -->",
        settings=settings,
        facts=counted,
        splits=[split for split in SPLITS if counted.splits[split]],
        recipe=told.recipe,
        examples=told.examples,
        holdings=told.holdings,
        withheld=sum(held.records - held.pixels for held in told.holdings.values()),
        columns=[column for column in schema.COLUMNS if column.release],
        version=__version__,
        folder=folder.rsplit("/", 1)[-1],
    )
    workspace.write_bytes(f"{folder}/{NAME}", text.encode())


def _sizes(workspace: Workspace, folder: str, files: Sequence[str]) -> dict[Config, Counter[str]]:
    """Bytes of the files of each configuration, by the part of their names before the number."""
    found: dict[Config, Counter[str]] = {config: Counter() for config in FOLDERS}
    for config, place in FOLDERS.items():
        for file in files:
            size = workspace.fs.size(workspace.path(f"{folder}/{place}/{file}.parquet"))
            found[config][file.rsplit("-", 3)[0]] += size
    return found


def front_matter(settings: PushSettings, counted: Facts, sizes: Mapping[Config, Mapping[str, int]]) -> dict[str, Any]:
    """The YAML at the head of the card.

    Args:
        settings: of the release.
        counted: its facts.
        sizes: bytes of the files of each configuration, by the part of their names before the number: the split, or
            split and corpus.
    """
    bands = sorted({band for _, band, _ in counted.origins if band})
    configs, infos = [], []
    for config, of_files in sizes.items():
        own = sorted(counted.corpora) if settings.by_corpus and config == "default" else []
        for name, corpus in [(config, ""), *((each, each) for each in own)]:
            rows = counted.corpora[corpus] if corpus else counted.splits
            splits = [split for split in SPLITS if rows[split]]
            configs.append({"config_name": name, "data_files": [
                {"split": split, "path": f"{FOLDERS[config]}/{pattern(split, corpus, settings.by_corpus)}"}
                for split in splits
            ]})  # fmt: skip
            of_split = {
                split: sum(size for file, size in of_files.items() if fits(file, split, corpus)) for split in splits
            }
            infos.append({
                "config_name": name,
                "features": features(config)._to_yaml_list(),
                "splits": [
                    {"name": split, "num_bytes": of_split[split], "num_examples": rows[split]} for split in splits
                ],
                "download_size": sum(of_split.values()),
                "dataset_size": sum(of_split.values()),
            })  # fmt: skip
    return {
        "pretty_name": settings.title,
        **_licence(counted),
        "language": ["en"],
        "task_categories": ["image-to-text", "zero-shot-image-classification", "image-to-image"],
        "size_categories": [next((name for bound, name in SIZES if counted.records < bound), "10M<n<100M")],
        "tags": ["remote-sensing", "infrared", "multimodal", "vision-language", *bands],
        "configs": configs,
        "dataset_info": infos,
    }


def _licence(counted: Facts) -> dict[str, str]:
    names = sorted({terms.name for terms in counted.licences})
    if len(names) > 1:
        return {"license": "other", "license_name": "several-see-the-column-license"}
    links = sorted({terms.url for terms in counted.licences if is_link(terms.url)})
    return hub.licence(names[0], links[0] if links else "")
