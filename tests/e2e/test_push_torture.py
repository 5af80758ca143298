"""A Hub that fails at every tenth request, and SIGKILL: main shows one whole release or the other, and nothing else.

`FUSIONRS_KILLS=10` takes the full measure.
"""

import itertools
import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.hub import clients, releases
from tests.hub.server import Faults, HubServer, serving

KILLS = int(os.environ.get("FUSIONRS_KILLS", "3"))

RATE = 0.1
"""Share of requests that fail."""

REPO = "org/fusionrs"

MOMENTS = ("POST .*/commit/main", "POST .*/commit/staging", "POST .*/tag/", "DELETE .*/branch/")
"""Requests at which every other kill falls, in turn: while they are answered, or just before or after."""

PUSH = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from huggingface_hub.utils import _http
from fusionrs_builder.release.hub import calls
from fusionrs_builder.release.hub.push import push_to_hub
_http.time = calls.time = SimpleNamespace(sleep=lambda seconds: time.sleep(min(seconds, 0.05)))
print(*push_to_hub(Path(sys.argv[1]), sys.argv[2], tag=sys.argv[3], public=True).did, sep=", ")
"""


class Pusher:
    """Pushes releases in processes of their own.

    Args:
        server: where to.
        home: of the client's caches and of what it says.
    """

    def __init__(self, server: HubServer, home: Path) -> None:
        self.server, self.said = server, home / "said"
        self.environment = clients.environment(server, server.account("ada", orgs=["org"]), home)

    def start(self, release: Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "-c", PUSH, str(release), REPO, release.name]
        with self.said.open("w") as said:
            return subprocess.Popen(command, env=self.environment, stdout=subprocess.PIPE, stderr=said, text=True)

    def finish(self, release: Path) -> str:
        """Push to the end; returns what was done."""
        process = self.start(release)
        done, _ = process.communicate(timeout=600)
        assert process.returncode == 0, self.said.read_text()
        return done.strip()


def due(kill: int, chance: random.Random, calm: int) -> Callable[[list[str]], bool]:
    """Whether a kill falls now, by the requests that its push has made: at any of them, or at one of the moments.

    Args:
        kill: its number.
        chance: to draw from.
        calm: requests of a whole push.
    """
    if kill % 2:
        moment = re.compile(MOMENTS[kill // 2 % len(MOMENTS)])
        return lambda made: any(map(moment.match, made))
    until = chance.uniform(0.05, 0.8) * calm
    return lambda made: len(made) > until


def test_killed_pushes_never_show_half_a_release(tmp_path: Path) -> None:
    chance = random.Random(4)
    old, new = (tmp_path / name for name in ("old", "new"))
    for seed, release in enumerate((old, new)):
        release.mkdir()
        releases.write(release, seed, {"train": 6 - seed, "validation": 1, "test": 1 + seed}, image=1500)
    (tmp_path / "home").mkdir()
    with serving(page=10, part=8192) as server:
        pusher = Pusher(server, tmp_path / "home")
        pusher.finish(old)
        here, calm = server.hub.repositories[REPO], len(server.requests)
        whole = [releases.contents(old), releases.contents(new)]
        assert here.history() == [{}, whole[0]]

        server.faults = Faults(RATE, seed=5)
        target, killed, pushed = new, 0, 0
        for kill in range(KILLS):
            process, begun = pusher.start(target), len(server.requests)
            is_due = due(kill, chance, calm)
            while process.poll() is None and not is_due(server.requests[begun:]):
                time.sleep(0.001)
            killed += process.poll() is None
            process.kill()
            done, _ = process.communicate()
            assert process.returncode in (0, -9), pusher.said.read_text()
            shown = here.history()[1:]
            assert all(tree in whole for tree in shown)
            assert all(tree != before for before, tree in itertools.pairwise(shown)), "published once"
            if process.returncode == 0:  # it was through before the kill: push the other one
                pushed += 1
                assert here.main() == releases.contents(target), done
                target = old if target == new else new
        pusher.finish(target)
        assert here.main() == releases.contents(target)
        assert all(tree in whole for tree in here.history()[1:])
        assert here.commits[here.tags[target.name]].contents() == releases.contents(target)
        assert list(here.branches) == ["main"] and not here.private

        dealt, server.faults = server.faults.dealt, Faults()
        before = list(here.shown)
        assert pusher.finish(target) == "" and here.shown == before, "a run with nothing to do changes nothing"
        assert killed >= KILLS // 2, "most kills must fall into the work"
        print(
            f"\n{killed} kills in the work, {pushed} pushes were faster, {len(server.requests)} requests, {dict(dealt)}"
        )
