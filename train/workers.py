"""Processes that read and decode ahead of a training, and how it is told when one of them dies."""

from fusionrs_builder.errors import FusionError


def died(error: Exception, workers: int) -> FusionError | None:
    """What to say of an error of reading from a `DataLoader`; None where no worker died: then it is another's.

    Args:
        error: of reading. What was raised in a worker that lives says so; the others come of one that does not.
        workers: how many there are.
    """
    if not workers or "in DataLoader worker process" in str(error):
        return None
    first, *_ = str(error).splitlines() or [""]
    return FusionError(
        "a worker that reads and decodes died: it was killed, or memory or /dev/shm is full; go on with fewer "
        f"--workers or a smaller --batch-size ({type(error).__name__}: {first})"
    )
