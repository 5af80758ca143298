"""FusionRS releases for `datasets` 3, which reads them by a loading script. This file is complete in itself: copy it.

    from datasets import load_dataset

    load_dataset("fusionrs.py", data_dir="path/of/the/release", trust_remote_code=True)
    load_dataset("fusionrs.py", "text", data_dir="ORG/NAME", streaming=True, trust_remote_code=True)

`data_dir` may be left out where this file lies in the release folder itself. `datasets` 4 and later reads a release
without a script, and refuses a folder that holds a script of its own name.
"""

import glob
import json
import os
import re
from typing import ClassVar

import datasets
import huggingface_hub
import pyarrow.parquet as pq
from datasets.data_files import DataFilesDict, DataFilesList

FOLDERS = {"default": "data", "text": "text"}
"""Where the files of each config are."""

SPLITS = ("train", "validation", "test")

MARK = re.compile(r"<!-- fusionrs-builder release [0-9a-f]{64} -->")
"""In the README.md of every release that is whole."""


class FusionRS(datasets.ArrowBasedBuilder):
    """RGB, infrared and captions of overhead scenes; config `text` is the same rows without the images.

    The files are found when the builder is made, so that their times (or the commit on the Hub) are part of the name
    of the cache: a release that was written anew is read anew.

    Raises:
        ValueError: `data_dir` is missing, `data_files` is given, or there is no such config.
        FileNotFoundError: `data_dir` is no release, or not a whole one, or the Hub does not show it.
    """

    BUILDER_CONFIGS: ClassVar = [
        datasets.BuilderConfig("default", description="all columns"),
        datasets.BuilderConfig("text", description="all columns but the images"),
    ]
    DEFAULT_CONFIG_NAME = "default"

    def __init__(self, *, config_name=None, data_dir=None, data_files=None, base_path=None, token=None, **options):
        config_name = config_name or self.DEFAULT_CONFIG_NAME
        if config_name not in FOLDERS:
            raise ValueError(f"there is no config {config_name!r}: name one of {', '.join(FOLDERS)}")
        if data_files is not None:
            raise ValueError("data_files is not taken: name the release by data_dir")
        super().__init__(
            config_name=config_name,
            data_dir=data_dir,
            data_files=_files(data_dir, base_path, FOLDERS[config_name], token),
            base_path=base_path,
            token=token,
            **options,
        )

    def _info(self):
        return datasets.DatasetInfo()

    def _split_generators(self, dl_manager):
        files = dl_manager.download(self.config.data_files)
        if self.info.features is None:
            with open(next(iter(files.values()))[0], "rb") as handle:
                self.info.features = _features(pq.read_schema(handle))
        return [datasets.SplitGenerator(split, gen_kwargs={"files": files[split]}) for split in files]

    def _generate_tables(self, files):
        """One row group at a time: memory does not grow with the file."""
        for number, file in enumerate(files):
            with open(file, "rb") as handle:
                parquet = pq.ParquetFile(handle)
                for group in range(parquet.num_row_groups):
                    table = parquet.read_row_group(group)
                    yield f"{number}_{group}", datasets.table.table_cast(table, self.info.features.arrow_schema)


def _files(data_dir, beside, folder, token):
    """The files of each split that has any, as local paths or addresses on the Hub."""
    place, root = _place(data_dir, beside, token)
    download = datasets.DownloadConfig(token=token)
    found = DataFilesDict()
    for split in SPLITS:
        files = DataFilesList.from_patterns([f"{folder}/{split}-*.parquet"], root, download_config=download)
        names = {os.path.basename(file) for file in files}
        totals = {int(total) for total in re.findall(r"-of-(\d{5})\.parquet", " ".join(names))}
        missing = {f"{split}-{n:05d}-of-{total:05d}.parquet" for total in totals for n in range(total)} - names
        if missing:
            raise FileNotFoundError(f"{place} is not whole, {folder}/{min(missing)} is missing: copy it again")
        if files:
            found[split] = files
    if not found:
        raise FileNotFoundError(
            f"{place} has no files {folder}/*.parquet: no release, or an early one: run `fusionrs-build push` again"
        )
    return found


def _place(data_dir, beside, token):
    """What to call the release, and the root of its files as a pattern."""
    if data_dir is None:
        if beside is None or not _is_release(beside):
            raise ValueError("data_dir is missing: name the release folder, or ORG/NAME on the Hub")
        data_dir = beside or "."
    data_dir = os.fspath(data_dir)
    if os.path.isdir(data_dir):
        if not _is_release(data_dir):
            raise FileNotFoundError(
                f"{data_dir} is not a finished release (no README.md that says so): name the folder that "
                "`fusionrs-build push` wrote, or copy it again"
            )
        return data_dir, glob.escape(os.path.abspath(data_dir))
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", data_dir):
        raise FileNotFoundError(f"{data_dir}: no such folder, nor the name of a dataset on the Hub (ORG/NAME)")
    try:
        commit = huggingface_hub.HfApi(datasets.config.HF_ENDPOINT, token=token).dataset_info(data_dir).sha
    except huggingface_hub.utils.RepositoryNotFoundError:
        raise FileNotFoundError(
            f"{data_dir}: no such folder, and the Hub shows no such dataset: correct the name, or log in where it is "
            "private"
        ) from None
    return data_dir, f"hf://datasets/{data_dir}@{commit}"


def _is_release(folder):
    readme = os.path.join(folder, "README.md")
    if not os.path.isfile(readme):
        return False
    with open(readme, encoding="utf-8", errors="replace") as handle:
        return MARK.search(handle.read()) is not None


def _features(schema):
    """The types of the columns. `datasets` 3 does not know all that the metadata names: its images alone are taken."""
    features = datasets.Features.from_arrow_schema(schema.remove_metadata())
    written = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    images = {name: feature for name, feature in written.items() if feature.get("_type") == "Image"}
    features.update(datasets.Features.from_dict(images))
    return features
