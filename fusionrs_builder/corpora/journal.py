"""What is known of the files of a corpus: a line of JSON each in `fetched.jsonl`, the latest of a name holds.

Lines are only appended, so that a hundred thousand files cost no more than their lines; a line cut off by a kill is
dropped, and the file written anew without it, when it is next opened.
"""

import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fusionrs_builder.files import Files

NAME = "fetched.jsonl"


@dataclass(frozen=True)
class Verified:
    """A published file that arrived whole.

    Attributes:
        size: bytes.
        mtime_ns: its time of change then: while both stay the same, so does it.
        sha256: of its content.
        md5: of its content, empty where nobody had published one.
    """

    size: int
    mtime_ns: int
    sha256: str
    md5: str


class Journal:
    """The state of one corpus. Threads may share it, processes may not.

    Args:
        folder: of the corpus.

    Attributes:
        files: what was verified, by name.
        built: what the tree for the reader holds, by the key of each part.
        listings: files that a pattern of addresses matched.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.files: dict[str, Verified] = {}
        self.built: set[str] = set()
        self.listings: dict[str, list[Any]] = {}
        self._lock = threading.Lock()
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        for line in lines:
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue  # cut off; a file is then looked at again
        if len(lines) != len(self._lines()) + 1:
            text = "".join(json.dumps(line) + "\n" for line in self._lines())
            Files(str(folder)).write_bytes(NAME, text.encode())

    def verified(self, name: str, found: Verified) -> None:
        """Note a file, before it is moved to its place."""
        self._append({"file": name, **asdict(found)})

    def add(self, key: str) -> None:
        """Note a part of the tree."""
        self._append({"built": key})

    def clear(self) -> None:
        """Note that there is no tree, before it is removed."""
        self._append({"cleared": True})

    def matched(self, url: str, files: Any) -> None:
        """Note what a pattern matched."""
        self._append({"listing": url, "files": files})

    def _append(self, line: dict[str, Any]) -> None:
        with self._lock, self.path.open("ab") as handle:
            handle.write(json.dumps(line).encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
            self._take(line)

    def _take(self, line: dict[str, Any]) -> None:
        if "file" in line:
            self.files[line["file"]] = Verified(**{key: value for key, value in line.items() if key != "file"})
        elif "built" in line:
            self.built.add(line["built"])
        elif "cleared" in line:
            self.built.clear()
        else:
            self.listings[line["listing"]] = line["files"]

    def _lines(self) -> list[dict[str, Any]]:
        """What holds, and nothing else."""
        return [
            *({"listing": url, "files": files} for url, files in self.listings.items()),
            *({"file": name, **asdict(found)} for name, found in self.files.items()),
            *({"built": key} for key in sorted(self.built)),
        ]
