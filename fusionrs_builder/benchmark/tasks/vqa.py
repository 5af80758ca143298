"""Visual questions made from boxes: accuracy by type of question, and its mean over the types.

The headline counts every type alike, however many questions it has. An answer that could not be had or read is wrong,
and is counted. What is asked, and why, stands in the modules of `benchmark.vqa`; how an answer is read in
`vqa.normalise`.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from fusionrs_builder.benchmark.models.model import Answer, Question, TextModel
from fusionrs_builder.benchmark.records import INPUTS, Inputs, Record, Records, parts
from fusionrs_builder.benchmark.result import Result
from fusionrs_builder.benchmark.vqa.asked import Asked
from fusionrs_builder.benchmark.vqa.normalise import normalise
from fusionrs_builder.benchmark.vqa.questions import by_type, hashed, questions
from fusionrs_builder.intervals import average, means

TASK, PROTOCOL, HEADLINE = "vqa", "box-vqa@1", "accuracy"

MOST_TOKENS = 16
"""Of an answer: room for a short sentence."""

FAILED, UNREADABLE = "failed", "unreadable"


def vqa(records: Records, model: TextModel, inputs: Sequence[Inputs], device: str, seed: int = 0) -> list[Result]:
    """A result for each corpus, origin and input.

    Args:
        records: one split.
        model: that is asked. One that does not look is asked once, as if it saw the infrared view.
        inputs: what is shown as infrared.
        device: of torch.
        seed: of the choice of questions and of the bootstrap.
    """
    rows = [
        (name, asked, shows) for name, asked, shown in _parts(records, seed, inputs, model.looks) for shows in shown
    ]
    answers = model.answer([_question(records, one, shows) for _, asked, shows in rows for one in asked], device)
    results = []
    for name, asked, shows in rows:
        said = [answers[_key(one, shows)] for one in asked]
        read = [_read(one, answer) for one, answer in zip(asked, said, strict=True)]
        told = {"errors": dict(Counter(answer.error for answer in said if answer.error))}
        results.append(_result(records, name, asked, read, shows, model.name, model.pretrained, seed, told))
    return results


def controls(
    records: Records, name: str, seed: int = 0, nearest: Callable[[int], Record | None] | None = None
) -> list[Result]:
    """What can be had without seeing: a result for each corpus and origin.

    `random` draws one of the choices. `majority` gives to questions that are `alike` the answer that most of them have:
    no constant answer does better. `copy-nearest` gives the answer that the question has about another
    record, and where it cannot be asked there that of `majority`.

    Args:
        records: one split.
        name: `random`, `majority` or `copy-nearest`.
        seed: of the questions, of the draw and of the bootstrap.
        nearest: for `copy-nearest`: the place of a record -> the other record, None where there is none.
    """
    results = []
    for part, asked, _ in _parts(records, seed, INPUTS, True):
        constant = _majority(asked)
        given: list[str] = []
        copied = 0
        for one in asked:
            answer = constant[one.alike]
            if name == "random":
                answer = one.choices[hashed(seed, f"random|{one.key}") % len(one.choices)]
            elif name == "copy-nearest" and nearest is not None:
                other = nearest(one.place)
                copy = one.answer_of(other) if other is not None else None
                copied += copy is not None
                answer = copy or answer
            given.append(answer)
        told = {"copied": copied, "majority": len(asked) - copied} if name == "copy-nearest" else {}
        results.append(_result(records, part, asked, given, "infrared", name, "control", seed, told))
    return results


def _parts(
    records: Records, seed: int, inputs: Sequence[Inputs], looks: bool
) -> Iterator[tuple[str, list[Asked], Sequence[Inputs]]]:
    """Name, questions and what is shown, of each corpus and origin."""
    of = defaultdict[tuple[str, str], list[Asked]](list)
    for one in questions(records, seed):
        of[records[one.place].corpus, str(records[one.place].ir_origin)].append(one)
    for corpus, origin in sorted(of):
        asked = of[corpus, origin]
        places = list(dict.fromkeys(one.place for one in asked))
        for name, some, shown in parts(records, places, inputs if looks else ("infrared",)):
            kept = set(some)
            yield corpus + name, [one for one in asked if one.place in kept], shown


def _key(one: Asked, shows: Inputs) -> str:
    return one.key if shows == "infrared" else f"{one.key}@{shows}"


def _question(records: Records, one: Asked, shows: Inputs) -> Question:
    return Question(
        key=_key(one, shows),
        prompt=one.prompt,
        pictures=lambda: [records.picture(one.place, shows)],
        pictures_key=str(records[one.place].key(shows)),
        most_tokens=MOST_TOKENS,
    )


def _read(one: Asked, answer: Answer) -> str:
    """The choice that was given, `FAILED` or `UNREADABLE`."""
    return FAILED if answer.text is None else normalise(answer.text, one.choices) or UNREADABLE


def _majority(asked: Sequence[Asked]) -> Mapping[str, str]:
    """The most frequent answer to questions that are `alike`, of equally frequent ones the first of the choices."""
    right = defaultdict[str, Counter[str]](Counter)
    choices = {one.alike: one.choices for one in asked}
    for one in asked:
        right[one.alike][one.answer] += 1
    return {alike: max(choices[alike], key=found.__getitem__) for alike, found in right.items()}


def _result(
    records: Records, part: str, asked: Sequence[Asked], read: Sequence[str], shows: Inputs, name: str, pretrained: str,
    seed: int, told: Mapping[str, Any],
) -> Result:  # fmt: skip
    """Of questions on one corpus and origin, what was read as their answers, and what else is to be told."""
    samples = {"micro accuracy": [(given == one.answer, one.place) for one, given in zip(asked, read, strict=True)]}
    answers: dict[str, Counter[str]] = {}
    types = by_type(asked)
    for type in types:
        these = [(one, given) for one, given in zip(asked, read, strict=True) if one.type == type]
        samples[f"{type} accuracy"] = [(given == one.answer, one.place) for one, given in these]
        answers[type] = Counter(given for _, given in these)
    found = means({metric: ([m for m, _ in pairs], [at for _, at in pairs]) for metric, pairs in samples.items()}, seed)
    used = [records[one.place] for one in asked]
    return Result(
        task=TASK,
        protocol=PROTOCOL,
        dataset=f"{records.dataset}/{part}",
        model=name,
        pretrained=pretrained,
        inputs=shows,
        origin=str(used[0].ir_origin),
        band="+".join(sorted({record.ir_band or "none" for record in used})),
        headline=HEADLINE,
        estimates={HEADLINE: average([found[f"{type} accuracy"] for type in types]), **found},
        counts={
            "questions": len(asked),
            "images": len({one.place for one in asked}),
            **{f"questions {type}": count for type, count in types.items()},
            FAILED: sum(given[FAILED] for given in answers.values()),
            UNREADABLE: sum(given[UNREADABLE] for given in answers.values()),
        },
        places=list(dict.fromkeys(one.place for one in asked)),
        detail={
            "chance": _chance(asked),
            "answers": {type: dict(sorted(given.items())) for type, given in answers.items()},
            **told,
        },
    )


def _chance(asked: Sequence[Asked]) -> float:
    """What is expected of the headline where each of the choices is as likely."""
    of = defaultdict[str, list[float]](list)
    for one in asked:
        of[one.type].append(1 / len(one.choices))
    return float(np.mean([np.mean(shares) for shares in of.values()]))
