"""Which model that answers in words a spec names."""

from collections.abc import Callable

from fusionrs_builder.benchmark.models import chat, hf_vlm, predictions
from fusionrs_builder.benchmark.models.answer_store import AnswerStore
from fusionrs_builder.benchmark.models.model import TextModel
from fusionrs_builder.errors import UsageError

KINDS: dict[str, Callable[[str, AnswerStore], TextModel]] = {
    "chat": chat.model,
    "hf-vlm": hf_vlm.model,
    "predictions": lambda rest, store: predictions.model(rest),
}
"""By the part of a spec before its first colon."""


def text_model(spec: str, store: AnswerStore) -> TextModel:
    """The model of a spec, not loaded yet.

    Args:
        spec: `chat:BASE_URL#MODEL`, `hf-vlm:ORG/NAME`, `hf-vlm:FOLDER` or `predictions:FILE.jsonl`.
        store: of the answers that are not asked for again.

    Raises:
        UsageError: there is no such kind of model, or what follows the kind is wrong.
        FusionError: a file of the model is damaged.
    """
    kind, colon, rest = spec.partition(":")
    if kind not in KINDS or not colon:
        raise UsageError(
            f"--model {kind}: no model that answers in words; name one as chat:BASE_URL#MODEL, hf-vlm:ORG/NAME, "
            "hf-vlm:FOLDER or predictions:FILE.jsonl"
        )
    return KINDS[kind](rest, store)
