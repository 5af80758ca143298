"""Measure models on one split of a release: each on the tasks that it can do, one file a result."""

from collections.abc import Sequence
from pathlib import Path

from fusionrs_builder.benchmark import result as results
from fusionrs_builder.benchmark.contestants import Contestants
from fusionrs_builder.benchmark.job import Data, Say, Settings
from fusionrs_builder.benchmark.records import FEWEST
from fusionrs_builder.errors import FusionError, UsageError


def run(data: Data, models: Sequence[str], settings: Settings, out: Path, cache: Path, say: Say) -> list[Path]:
    """Measure every model; results of one that is done stay when a later one fails.

    Args:
        data: what to measure on.
        models: specs, see `contestants`.
        settings: how.
        out: folder of the results.
        cache: folder of the embeddings that were made before.
        say: told what is done, in lines.

    Returns:
        The files of the results.

    Raises:
        UsageError: a spec is unknown, named twice, or fits none of the tasks.
        FusionError: a model fails, or nothing could be measured.
    """
    if twice := [spec for spec in models if models.count(spec) > 1]:
        raise UsageError(f"--model {twice[0]} is named twice")
    if strange := sorted(set(settings.trained_on) - set(models)):
        raise UsageError(f"--trained-on {strange[0]}: no such --model")
    contestants = Contestants(data, settings, out, cache, say)
    jobs = [contestants.measuring(spec) for spec in models]  # a spec that is wrong is told before an hour of work
    written: dict[Path, str] = {}
    for spec, measuring in zip(models, jobs, strict=True):
        before = len(written)
        for found, facts in measuring():
            saved = contestants.saved(found, facts)
            path = out / results.file_name(saved)
            if path in written:
                raise FusionError(f"{written[path]} and {spec} have one name in results: measure them into two folders")
            results.save(out, saved)
            written[path] = spec
            main = found.estimates[found.headline].score
            say(
                f"{found.model}: {found.protocol} of {found.dataset}, {found.inputs}, {found.origin}: {found.headline} "
                f"{main.mean:.4f} ({main.low:.4f} to {main.high:.4f}), n {found.estimates[found.headline].n}, "
                f"failed {found.counts['failed']}"
            )
        if len(written) == before:
            say(f"{spec}: nothing of {data.records.dataset}:{data.records.split} fits what it can do")
    if not written:
        raise FusionError(
            f"{data.records.dataset}:{data.records.split} holds nothing to measure {', '.join(settings.tasks)} on: "
            f"a result is of {FEWEST} images at least; name another split, or other tasks"
        )
    return list(written)
