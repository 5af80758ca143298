"""Finding an image by the name that an annotation file gives it, anywhere below the corpus folder."""

from collections.abc import Callable, Iterable

from fusionrs_builder.corpora.reader import IMAGE_SUFFIXES, Refused, stem
from fusionrs_builder.corpora.spool import Spool


class ImageIndex(Spool):
    """Image files by name, on disk, so that memory does not grow with their number.

    Args:
        paths: the image files, relative to the corpus folder.
        wanted: tells those that are left out, of which records may speak nevertheless.
    """

    def __init__(self, paths: Iterable[str], wanted: Callable[[str], bool] = lambda path: True) -> None:
        super().__init__()
        self._wanted = wanted
        for path in paths:
            self.add(stem(_name(path)), path)

    def find(self, named: str) -> str:
        """The image of a name, which may say its folders, even those of another machine, and may lack its suffix.

        Of several images of one name, that with the most folders in common. Empty where that is left out.

        Raises:
            Refused: there is none, or several fit as well.
        """
        parts = named.replace("\\", "/").split("/")
        whole_name = parts[-1].lower().endswith(IMAGE_SUFFIXES)
        found: list[str] = self.get(stem(parts[-1]) if whole_name else parts[-1])
        if whole_name:
            found = [path for path in found if _name(path) == parts[-1]]
        if not found:
            raise Refused("missing_image", f"no image {named}")
        most = max(_common(path, parts) for path in found)
        meant = [path for path in found if _common(path, parts) == most and self._wanted(path)]
        if len(meant) > 1:
            raise Refused(
                "ambiguous_image", f"{named} may be {meant[0]} or {meant[1]}; leave one out, e.g. with --include"
            )
        return meant[0] if meant else ""


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _common(path: str, named: list[str]) -> tuple[int, int]:
    """How many folders just above the image agree, and how many agree at all."""
    folders, wanted = path.split("/")[-2::-1], named[-2::-1]
    run = 0
    while run < min(len(folders), len(wanted)) and folders[run] == wanted[run]:
        run += 1
    return run, len(set(folders) & set(wanted))
