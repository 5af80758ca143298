"""Visible and infrared images of one scene in two sets of files (DroneVehicle, LLVIP, KAIST, CART, Kust4K, VEDAI).

val/valimg/00001.jpg    val/valimgr/00001.jpg    val/vallabel/00001.xml

`visible` and `infrared` are the patterns of the two sets; two files are a pair when `pair_key` finds the same in both.
`annotations` (.xml or .txt) and `masks` belong to the visible image. Views that phase correlation finds further apart
than `max_shift` are refused; where it cannot tell they are kept. A white `border` is not looked at.
"""

import fnmatch
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.corpora import registration, views
from fusionrs_builder.corpora.class_masks import ClassMasks
from fusionrs_builder.corpora.companions import Companions
from fusionrs_builder.corpora.formats import delimited, voc
from fusionrs_builder.corpora.raster import THUMBNAIL
from fusionrs_builder.corpora.reader import IMAGE_SUFFIXES, Item, Reader, Refused, Sample, stem
from fusionrs_builder.corpora.split_lists import SplitLists
from fusionrs_builder.corpora.spool import Spool
from fusionrs_builder.errors import UsageError

VIEWS = ("visible", "infrared")


class Pairs(Reader):
    """The key of a pair is what its two files share; a file without its other half is refused."""

    def __init__(self, root: Path, settings: Any) -> None:
        super().__init__(root, settings)
        for name, example in (
            ("visible", "'*img/*.jpg'"),
            ("infrared", "'*imgr/*.jpg'"),
            ("pair_key", r"'(\d+)\.jpg$'"),
            ("band", "lwir"),
        ):
            if not getattr(settings, name):
                raise UsageError(f"{name}: pairs needs it, e.g. --{name.replace('_', '-')} {example}")
        if settings.annotations and not settings.annotations.endswith((".xml", ".txt")):
            raise UsageError(f"annotations: pairs reads .xml and .txt, not {settings.annotations}")
        self.classes = ClassMasks(self) if settings.masks else None

    def items(self) -> Iterator[Item]:
        annotated, masked = self.settings.annotations, self.settings.masks
        with (
            SplitLists(self) as lists,
            Spool() as keys,
            Companions(self, annotated, "annotation") as annotations,
            Companions(self, masked, "mask") as masks,
        ):
            for path, view in self._views():
                if key := self.key_of(path):
                    keys.add(key, [VIEWS.index(view), path])
                else:
                    yield _fault(path, "bad_name", f"pair_key finds nothing in {path}")
            for key, group in groupby(keys.sorted(), itemgetter(0)):
                found = [(view, path) for _, (view, path) in group]
                yield from self._pair(key, found, lists, annotations, masks)
            yield from lists.missing()
            yield from annotations.alone()
            yield from masks.alone()

    def _views(self) -> Iterator[tuple[str, str]]:
        """Each image of one of the two sets, and which.

        Raises:
            UsageError: it is in both.
        """
        for path in self.images():
            found = [view for view in VIEWS if fnmatch.fnmatch(path, getattr(self.settings, view))]
            if len(found) == 2:
                raise UsageError(f"visible, infrared: both patterns match {path}; make them tell the views apart")
            for view in found:
                yield path, view

    def _pair(
        self, key: str, found: list[tuple[int, str]], lists: SplitLists, annotations: Companions, masks: Companions
    ) -> Iterator[Item]:
        """The pair of a key, or a fault for each of its files, which come sorted by view."""
        beside: tuple[str, ...] = ()
        fault: tuple[str, str] | None = None
        for path in [path for view, path in found if VIEWS[view] == "visible"]:
            for companions in (annotations, masks):
                try:
                    beside += companions.of(path)
                except Refused as refused:
                    fault = refused.reason, refused.message
        files = tuple(path for _, path in found)
        if [VIEWS[view] for view, _ in found] == list(VIEWS):
            size = self.size_of(*files, *beside)
            split, labels = lists.split_of(files[0]), self.label_of(files[0])
            yield Item(key, files, beside, size, split=split, labels=labels, fault=fault)
        elif len(files) == 1:
            yield _fault(
                files[0], "missing_pair", f"no {VIEWS[1 - found[0][0]]} image of the key {key}, for {files[0]}"
            )
        else:
            for path in files:
                other = files[path == files[0]]
                yield _fault(
                    path,
                    "ambiguous_pair",
                    f"{len(files)} images have the key {key}, {other} too: make pair_key tell them apart",
                )

    def values(self, item: Item) -> Mapping[str, NDArray[Any]]:
        infrared = views.open_image(self.bytes_of(item.files[1]))
        if not infrared.mode.startswith(("I", "F")):
            return {}
        step = max(1, min(infrared.size) // THUMBNAIL)
        return {str(self.settings.band): np.asarray(infrared)[::step, ::step].ravel()}

    def read(self, item: Item) -> Sample:
        settings = self.settings
        visible, infrared = (self.bytes_of(path) for path in item.files)
        apart = registration.shift(visible, infrared, settings.border)
        if apart and apart.is_known and apart.distance > settings.max_shift:
            raise Refused(
                "not_registered",
                f"{item.files[1]} is {apart.distance:.0f} px off ({apart.columns:+.0f} across, {apart.rows:+.0f} down);"
                f" max_shift is {settings.max_shift:g} px: register the views, or raise it",
            )
        sample = Sample(
            rgb=visible, ir=infrared, band=settings.band, source=f"{settings.sensor} {settings.band}".strip()
        )
        size = self._size(item.files[0])
        for path in item.annotations:
            if not all(size):
                break  # the image is damaged, which will be said
            if self.classes and path.lower().endswith(IMAGE_SUFFIXES):
                self.classes.describe(sample, path, size, None)
            else:
                self._annotate(sample, path, size)
        return sample

    def _annotate(self, sample: Sample, path: str, size: tuple[int, int]) -> None:
        """Add the objects of a file that are none of `ignore_labels`."""
        settings, data = self.settings, self.bytes_of(path)
        if path.endswith(".txt"):
            boxes = delimited.parse(data, path, settings, size)
        else:
            boxes, sample.size = voc.parse(data, path)
        for box in boxes:
            box["label"] = settings.classes.get(box["label"], box["label"]) or settings.object_label
            if box["label"] in settings.ignore_labels:
                continue
            if not box["label"]:
                raise Refused("malformed_annotation", f"{path}: a <name> is empty; set --object-label")
            sample.boxes.append(box)


def _fault(path: str, reason: str, message: str) -> Item:
    return Item(stem(path), (path,), fault=(reason, message))


READER = Pairs
