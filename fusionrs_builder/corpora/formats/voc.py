"""Pascal VOC: one XML an image (HIT-UAV, DIOR, RSOD, FAIR1M, HRSC2016, DIOR-RSVG); `voc_boxes.py` says what is in it.

Annotations/0_100_30_0_03306.xml   JPEGImages/0_100_30_0_03306.jpg   ImageSets/Main/{train,val,test}.txt

Lists of names in ImageSets/Main tell the split where neither `splits` nor `split_pattern` does. `classes` gives numbers
their names (HRSC2016), `object_label` a name to objects whose own is empty. What DIOR-RSVG says of single objects are
captions of the whole image, but of no tile of it; its lists (`splits`) number objects, see `ObjectLists`.
"""

from collections.abc import Iterator
from xml.etree.ElementTree import Element

from fusionrs_builder.corpora import voc_boxes
from fusionrs_builder.corpora.annotated_images import AnnotatedImages, name_of
from fusionrs_builder.corpora.captions import distinct, strictest
from fusionrs_builder.corpora.image_index import ImageIndex
from fusionrs_builder.corpora.reader import SPLITS, Item, Reader, Refused, Sample, stem, walk
from fusionrs_builder.corpora.split_lists import SplitLists
from fusionrs_builder.corpora.spool import Spool
from fusionrs_builder.corpora.voc_boxes import parse as parse
from fusionrs_builder.errors import FusionError


class Voc(AnnotatedImages):
    """Images and annotations meet by file name; either one without the other is refused."""

    annotation_suffix = ".xml"

    def read(self, item: Item) -> Sample:
        path, where = item.files[0], item.annotations[0]
        sample, root = self.picture(self.bytes_of(path), path), voc_boxes.document(self.bytes_of(where), where)
        sample.boxes, sample.size = voc_boxes.boxes(root, where), voc_boxes.size(root, where)
        for box in sample.boxes:
            box["label"] = self.settings.classes.get(box["label"], box["label"]) or self.settings.object_label
            if not box["label"] and "" not in self.settings.ignore_labels:
                raise Refused("malformed_annotation", f"{where}: a <name> is empty; set --object-label")
        if not item.window:
            self.say(sample, distinct(voc_boxes.descriptions(root)))
        return sample

    def key(self, path: str, images: ImageIndex) -> str:
        """The name of an image; its path where another has the same name."""
        return name_of(path) if len(images.get(name_of(path))) == 1 else stem(path)

    def lists(self) -> SplitLists:
        return (ObjectLists if self.settings.splits and self._describes_objects() else ImageSets)(self)

    def _describes_objects(self) -> bool:
        first = next(annotations_of(self), None)
        return first is not None and bool(voc_boxes.descriptions(_opened(self, first)))


class ImageSets(SplitLists):
    """The lists of `splits`, and behind them those of ImageSets/Main, which may name images that are not there."""

    def _read(self) -> None:
        self._sets = Spool()
        super()._read()
        for path in walk(self._reader.root):
            if path.endswith(".txt") and path.rpartition("/")[0].endswith("ImageSets/Main") and name_of(path) in SPLITS:
                for _, name in self._names(path):
                    self._sets.add(name_of(name), SPLITS[name_of(path)])

    def split_of(self, path: str) -> str:
        return super().split_of(path) or strictest(self._sets.get(name_of(path)))

    def close(self) -> None:
        self._sets.close()
        super().close()


class ObjectLists(SplitLists):
    """Lists that number objects, from 0 over all files in the order of their names (DIOR-RSVG).

    An image with objects in several splits goes to that which is furthest from training: test, validation, train.

    Raises:
        FusionError: as `SplitLists`; a line is no number, there are fewer objects, or a file cannot be counted.
    """

    def _read(self) -> None:
        listed: dict[int, str] = {}
        for split, file in self._reader.settings.splits.items():
            for line, name in self._names(file):
                if not name.isdecimal():
                    raise FusionError(f"splits: {file}#{line} is {name}, not the number of an object")
                listed[int(name)] = strictest((split, listed.get(int(name), "")))
        count = 0
        for path in annotations_of(self._reader):
            found = range(count, count := count + len(voc_boxes.objects(_opened(self._reader, path))))
            self.add(name_of(path), strictest(listed[number] for number in found if number in listed))
        if listed and max(listed) >= count:
            raise FusionError(
                f"splits: the lists number objects up to {max(listed)}, and there are {count}: they are "
                "not of one release, and the splits would be wrong; fetch both anew, or take splits out"
            )

    def split_of(self, path: str) -> str:
        return strictest(self.get(name_of(path)))

    def missing(self) -> Iterator[Item]:
        yield from ()


def annotations_of(reader: Reader) -> Iterator[str]:
    """The XML files of a corpus in the order of their names."""
    return (path for path in walk(reader.root) if path.lower().endswith(".xml"))


def _opened(reader: Reader, path: str) -> Element:
    """The root of a file whose objects must be counted.

    Raises:
        FusionError: it cannot be read.
    """
    try:
        return voc_boxes.document(reader.bytes_of(path), path)
    except Refused as refused:
        raise FusionError(
            f"splits: the lists number the objects of all files, and one cannot be counted: {refused.message}; "
            "mend it, or take splits out"
        ) from None


READER = Voc
