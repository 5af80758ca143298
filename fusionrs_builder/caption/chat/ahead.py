"""What is done before the stage runs, where answers come in rounds; and what a run spent, for its summary."""

import sys
from collections.abc import Sequence

from fusionrs_builder.caption.chat.ledger import CREATED, UPLOADED, Ledger, Spent, ledger_path
from fusionrs_builder.caption.chat.prompt import Prompt
from fusionrs_builder.caption.chat.question import Questions
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CaptionSettings
from fusionrs_builder.stage import Task
from fusionrs_builder.workspace import Workspace


def answer(workspace: Workspace, settings: CaptionSettings, pending: Sequence[Task], device: str) -> None:
    """With `batch_api` or `offline`, answer whatever the pending shards need into the ledger; else nothing.

    Raises:
        FusionError: the endpoint refuses, the cap is reached, another build is in the workspace.
    """
    if not pending:
        return
    if not (settings.batch_api or settings.offline):
        check_jobs(workspace)
        return
    questions = Questions(settings, Prompt.load(settings.prompt))
    with workspace.lock("caption"), Ledger(ledger_path(workspace)) as ledger:
        if settings.offline:
            from fusionrs_builder.caption.chat import offline, rounds

            engine = offline.load_engine(settings, device)
            rounds.in_rounds(
                workspace, questions, ledger, pending, lambda open_: offline.answer_all(open_, engine, ledger)
            )
        else:
            from fusionrs_builder.caption.chat.batch_api import BatchAPI

            BatchAPI(settings, ledger, _say).run(workspace, questions, pending)


def check_jobs(workspace: Workspace) -> None:
    """Raises UsageError where a batch is under way: what it will answer must not be paid for online too."""
    with Ledger(ledger_path(workspace)) as ledger:
        if jobs := [*ledger.jobs(CREATED), *ledger.jobs(UPLOADED)]:
            raise UsageError(
                f"{len(jobs)} batch jobs of this workspace are under way and will be paid for: let them end with "
                "--batch-api first"
            )


def spent(workspace: Workspace) -> Spent:
    """What the ledger says now."""
    path = ledger_path(workspace)
    if not path.exists():
        return Spent()
    with Ledger(path) as ledger:
        return ledger.spent()


def told(workspace: Workspace, settings: CaptionSettings, before: Spent) -> list[str]:
    """What a run spent, in words."""
    after = spent(workspace)
    answers, failed = after.answers - before.answers, after.failed - before.failed
    lines = [
        f"{answers:,} answers of {settings.model}: {after.tokens_in - before.tokens_in:,} tokens in, "
        f"{after.tokens_out - before.tokens_out:,} out, ${after.usd - before.usd:.4f}; {failed:,} attempts failed"
    ]
    if after.unpriced and not settings.offline:
        lines.append(f'{after.unpriced:,} answers have no price: [caption.prices."{settings.model}"] in fusionrs.toml')
    if after.doubtful_usd:
        lines.append(f"up to ${after.doubtful_usd:.4f} more may have been charged for answers that were lost")
    lines.append("see what the checks found: fusionrs-build caption --report")
    return lines


def _say(text: str) -> None:
    print(f"caption: {text}", file=sys.stderr, flush=True)
