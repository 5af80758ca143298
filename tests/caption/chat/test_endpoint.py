"""Answers and refusals as servers really give them, one kind at a time."""

import asyncio
import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from fusionrs_builder.caption.chat.endpoint import key_of
from fusionrs_builder.caption.chat.ledger import Answer, Ledger
from fusionrs_builder.caption.chat.money import Budget
from fusionrs_builder.caption.chat.slots import Slots
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.settings import Price

from .chat_server import Body, ChatServer, captions
from .test_asking import KEY, PRICE, ask, questions, settings_of

Raw = tuple[int, list[str], bytes]

USAGE = {"prompt_tokens": 100, "completion_tokens": 10}


def completion(content: Any, usage: Any = USAGE, **more: Any) -> Raw:
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop"}]}
    return 200, [], json.dumps({**body, "usage": usage, **more}).encode()


def refused(status: int, message: str, **more: Any) -> Raw:
    return status, [], json.dumps({"error": {"message": message, **more}}).encode()


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


@pytest.mark.parametrize(
    ("content", "reply"),
    [
        ([{"type": "text", "text": "one "}, {"type": "text", "text": "two"}], "one two"),
        ("An \ud83d overhead view", "An ? overhead view"),
        (None, ""),
        (f"the key is {KEY}, or {KEY[3:]}", "the key is ***, or ***"),
    ],
)
def test_contents_of_every_kind(ledger: Ledger, content: Any, reply: str) -> None:
    with ChatServer(raw=lambda body: completion(content)) as server:
        settings = settings_of(server)
        (found,) = ask(ledger, settings, questions(settings, 1))
    assert isinstance(found, Answer)
    assert found.reply == reply
    assert KEY.encode() not in ledger.path.read_bytes()


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {},
        {"prompt_tokens": -5, "completion_tokens": 3},
        {"prompt_tokens": 10**30},
        {"prompt_tokens": "many"},
        "x",
        3,
    ],
)
def test_what_is_not_counted_is_held_for_its_bound(ledger: Ledger, usage: Any) -> None:
    with ChatServer(raw=lambda body: completion("{}", usage)) as server:
        settings = settings_of(server, prices={"m": PRICE}, max_usd=0.013)
        found = ask(ledger, settings, questions(settings, 6))
        again = ask(ledger, settings, questions(settings, 6))
    answered, known = (sum(isinstance(each, Answer) for each in some) for some in (found, again))
    assert 0 < answered < 6
    assert known == answered  # the next run may spend no more
    assert all("higher --max-usd" in str(each) for each in found if isinstance(each, FusionError))
    assert ledger.spent().usd == 0
    assert 0.008 < ledger.spent().doubtful_usd <= 0.013
    assert ledger.spent().unpriced == answered


def test_a_cap_holds_against_a_server_dearer_than_any_known(ledger: Ledger) -> None:
    usage = {"prompt_tokens": 17_600, "completion_tokens": 100}
    with ChatServer(raw=lambda body: completion("{}", usage)) as server:
        settings = settings_of(server, prices={"m": Price(input=1, output=2)}, max_usd=0.30, concurrency=64)
        ask(ledger, settings, questions(settings, 40))
    assert 0.2 < ledger.spent().usd <= 0.30


def test_an_answer_beside_one_that_no_column_takes_is_kept(ledger: Ledger) -> None:
    (question,) = questions(settings_of_nowhere(), 1)
    good, bad = Answer("{}", "stop", 1, 1, None, 0.1), Answer("{}", "stop", 10**30, 1, None, 0.1)
    done = [ledger.answered(None, question.asked, each) for each in (bad, good)]
    with pytest.raises(OverflowError):
        done[0].result()
    done[1].result()
    assert ledger.find(question.asked.key) == good


def settings_of_nowhere() -> Any:
    with ChatServer() as server:
        return settings_of(server)


def test_who_waits_for_the_ledger_may_give_up(ledger: Ledger) -> None:
    (question,) = questions(settings_of_nowhere(), 1)

    async def give_up() -> None:
        task = asyncio.ensure_future(asyncio.wrap_future(ledger.asking(question.asked, 1.0)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    for _ in range(20):
        asyncio.run(give_up())
    assert ledger.asking(question.asked, 1.0).result() == 21


def test_parameters_of_newer_models(ledger: Ledger) -> None:
    def raw(body: Body) -> Raw | None:
        if "max_tokens" in body:
            return refused(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        return refused(400, "'temperature' does not support 0.2") if "temperature" in body else None

    with ChatServer(raw=raw) as server:
        settings = settings_of(server)
        found = ask(ledger, settings, questions(settings, 3), at_once=False)
        assert all(isinstance(each, Answer) for each in found)
        assert server.counts.asked.total() == 5  # found out once
        assert server.counts.last["max_completion_tokens"] == 400
        assert "response_format" in server.counts.last


def test_a_question_refused_by_policy_costs_no_other_its_schema(ledger: Ledger) -> None:
    seen = []

    def raw(body: Body) -> Raw | None:
        seen.append(body.get("response_format", {}).get("type"))
        bad = body["messages"][1]["content"][1]["image_url"]["url"] == url
        return refused(400, "content management policy") if bad else None

    with ChatServer(raw=raw) as server:
        settings = settings_of(server)
        some = questions(settings, 4)
        url = some[0].messages()[1]["content"][1]["image_url"]["url"]
        found = ask(ledger, settings, some, at_once=False)
        again = ask(ledger, settings, some, at_once=False)  # all but one are in the ledger: no reason to give up
    assert (
        [isinstance(each, Answer) for each in found]
        == [False, True, True, True]
        == [isinstance(each, Answer) for each in again]
    )
    assert seen[3:6] == ["json_schema"] * 3
    assert "http_400" in str(found[0]) == str(again[0]) or str(found[0]) == str(again[0]) == "http_400"


@pytest.mark.parametrize(
    ("raw", "what"),
    [
        (refused(429, "You exceeded your current quota", code="insufficient_quota"), "out of quota"),
        (refused(402, "Payment required"), "out of money"),
        ((301, ["Location: http://elsewhere/"], b""), "http_301"),
    ],
)
def test_what_will_not_get_better_ends_the_run_at_once(ledger: Ledger, raw: Raw, what: str) -> None:
    with ChatServer(raw=lambda body: raw) as server:
        settings = settings_of(server)
        (found,) = ask(ledger, settings, questions(settings, 1))
        assert server.counts.asked.total() == 1
    assert isinstance(found, FusionError)
    assert what in str(found)


def test_a_bomb_of_compressed_nothing_is_not_unpacked(ledger: Ledger) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    calls = []

    def raw(body: Body) -> Raw | None:
        calls.append(1)
        return (200, ["Content-Encoding: gzip"], bomb) if len(calls) == 1 else None

    with ChatServer(raw=raw) as server:
        settings = settings_of(server)
        (found,) = ask(ledger, settings, questions(settings, 1))
        assert "identity" in server.counts.headers
    assert isinstance(found, Answer)
    assert ledger.errors() == [("garbage: more than 4 MB, or compressed", 1)]


def test_thoughts_before_an_answer_are_no_part_of_it(ledger: Ledger) -> None:
    from fusionrs_builder.caption.chat.answer import read

    text = "<think>a field? {maybe}</think>\n" + json.dumps(captions({"messages": [{"role": "user", "content": "x"}]}))
    assert len(read(Answer(text, "stop", 1, 1, None, 0.1)).scene) == 2


@pytest.mark.parametrize("key", ["sk-a b", "sk-\u201cquoted\u201d", "sk-a\nb"])
def test_a_key_that_no_header_can_hold(key: str) -> None:
    with pytest.raises(UsageError, match="OPENAI_API_KEY holds") as raised:
        key_of({"OPENAI_API_KEY": key})
    assert key not in str(raised.value)
    assert key_of({"OPENAI_API_KEY": " sk-plain\n"}) == "sk-plain"
    assert key_of({}) == "none"


def test_silence_counts_from_when_the_server_was_asked() -> None:
    class Clock:
        now = 0.0

        def __call__(self) -> float:
            return self.now

    async def run() -> None:
        clock = Clock()
        slots = Slots(4, 60, "server", clock)
        clock.now = 700  # all was in the ledger
        async with slots:
            slots.went_wrong("http_500", None, too_many=False)
        clock.now = 750
        async with slots:
            slots.went_wrong("http_500", None, too_many=False)
        clock.now = 761
        async with slots:
            with pytest.raises(FusionError, match="gave no answer for 61 s"):
                slots.went_wrong("http_500", None, too_many=False)

    asyncio.run(run())


def test_pauses_grow_where_too_many_questions_are_all_that_is_wrong() -> None:
    async def run() -> None:
        now = [0.0]
        slots = Slots(4, 600, "server", lambda: now[0])
        pauses = []
        for _ in range(5):
            now[0] = slots.not_before + 0.01
            slots.went_wrong("http_429", None, too_many=True)
            pauses.append(slots.not_before - now[0])
        assert pauses == pytest.approx([0.5, 1, 2, 4, 8])

    asyncio.run(run())


def test_a_first_question_goes_alone_where_there_is_a_cap(ledger: Ledger) -> None:
    with ChatServer(latency_s=0.05) as server:
        settings = settings_of(server, prices={"m": PRICE}, max_usd=5.0)
        ask(ledger, settings, questions(settings, 6))
        assert server.counts.slots <= 5
    assert Budget(PRICE, 1.0, ledger.spent()).fits(0.5)
