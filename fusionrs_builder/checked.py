"""What a check looked at, and what is off."""

from collections import Counter
from dataclasses import dataclass, field

SAID = 5
"""Examples named of one kind of problem."""


@dataclass
class Checked:
    """What was looked at, and what is off.

    Attributes:
        rows: looked at.
        pictures: decoded.
        problems: what is off, a line each, the first `SAID` of a kind; empty where all is as it should be.
    """

    rows: int = 0
    pictures: int = 0
    problems: list[str] = field(default_factory=list)
    _kinds: Counter[str] = field(default_factory=Counter)

    def off(self, kind: str, what: str) -> None:
        """Note a problem."""
        self._kinds[kind] += 1
        if self._kinds[kind] <= SAID:
            self.problems.append(what)

    def finish(self) -> "Checked":
        """Say how many problems of a kind were not named."""
        more = {kind: count - SAID for kind, count in self._kinds.items() if count > SAID}
        self.problems += [f"{kind}: {count} more" for kind, count in more.items()]
        self._kinds.clear()
        return self

    def add(self, other: "Checked", where: str) -> None:
        """Take in another, finished, its problems headed by where they are."""
        self.rows += other.rows
        self.pictures += other.pictures
        self.problems += [f"{where}: {problem}" for problem in other.problems]
