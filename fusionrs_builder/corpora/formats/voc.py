"""Pascal VOC: one XML an image, with horizontal boxes (HIT-UAV normal_xml, DIOR, RSOD, LLVIP).

Annotations/0_100_30_0_03306.xml   JPEGImages/0_100_30_0_03306.jpg   ImageSets/Main/{train,val,test}.txt
"""

from collections.abc import Iterator
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from fusionrs_builder.corpora.reader import SPLITS, Item, Reader, Refused, Sample, box, stem, walk


class Voc(Reader):
    """Images and annotations meet by file name; either one without the other is refused."""

    def items(self) -> Iterator[Item]:
        images: dict[str, list[str]] = {}
        for path in self.images():
            images.setdefault(_name(path), []).append(path)
        annotations: dict[str, list[str]] = {}
        splits: dict[str, str] = {}
        for path in walk(self.root):
            if path.lower().endswith(".xml"):
                annotations.setdefault(_name(path), []).append(path)
            elif path.rpartition("/")[0].endswith("ImageSets/Main") and _name(path) in SPLITS:
                lines = self.bytes_of(path).decode("utf-8", "replace").split("\n")
                splits.update({line.split()[0]: SPLITS[_name(path)] for line in lines if line.strip()})
        taken: set[str] = set()
        for name, paths in images.items():
            for path in paths:
                found = _nearest(path, annotations.get(name, []))
                taken.update(found)
                fault = None if found else ("missing_annotation", f"no {name}.xml for {path}")
                item = Item(name, (path,), found, self.size_of(path), split=splits.get(name, ""), fault=fault)
                yield from self.tiled(item)
        for name, paths in annotations.items():
            for path in set(paths) - taken:
                yield Item(name, (), (path,), fault=("missing_image", f"no image for {path}"))

    def read(self, item: Item) -> Sample:
        sample = self.picture(self.bytes_of(item.files[0]), item.files[0])
        sample.boxes, sample.size = parse(self.bytes_of(item.annotations[0]), item.annotations[0])
        return sample


def parse(data: bytes, where: str) -> tuple[list[dict[str, object]], tuple[int, int] | None]:
    """Boxes of a VOC file, and the image size it was made for.

    Raises:
        Refused: not XML, an entity bomb, or an object without a name or a box.
    """
    try:
        root = fromstring(data)
        boxes = [_box(element, where) for element in root.iter("object")]
        size = root.find("size")
        if size is None:
            return boxes, None
        return boxes, (int(float(_text(size, "width", where))), int(float(_text(size, "height", where))))
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise Refused("malformed_annotation", f"{where}: {error}") from None


def _box(element: Element, where: str) -> dict[str, object]:
    bounds = element.find("bndbox")
    if bounds is None:
        raise Refused("malformed_annotation", f"{where}: an object has no bndbox")
    x0, y0, x1, y1 = (float(_text(bounds, name, where)) for name in ("xmin", "ymin", "xmax", "ymax"))
    return box(_text(element, "name", where), x0, y0, x1, y1)


def _text(element: Element, name: str, where: str) -> str:
    value = element.findtext(name)
    if value is None or not value.strip():
        raise Refused("malformed_annotation", f"{where}: <{element.tag}> has no <{name}>")
    return value.strip()


def _nearest(image: str, annotations: list[str]) -> tuple[str, ...]:
    """Of several annotations of one name, the one that shares most folders with the image."""

    def shared(path: str) -> int:
        return len(set(path.split("/")) & set(image.split("/")))

    return (max(annotations, key=shared),) if annotations else ()


def _name(path: str) -> str:
    return stem(path.rsplit("/", 1)[-1])


READER = Voc
