"""A model behind a server: what it is sent, what is kept of it, and what is done when it fails."""

import asyncio
import base64
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from fusionrs_builder.benchmark.models import chat
from fusionrs_builder.benchmark.models.answer_store import AnswerStore
from fusionrs_builder.benchmark.models.model import Answer, Question, TextModel
from fusionrs_builder.benchmark.models.text_specs import text_model
from fusionrs_builder.errors import FusionError, UsageError
from tests.caption.chat.chat_server import ChatServer

KEY = "sk-top-secret-1234567890"

Reply = tuple[int, list[str], bytes]


def said(text: Any, finish: str = "stop") -> Reply:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "tiny", "choices": [choice]}
    return 200, [], json.dumps(whole).encode()


def refused(status: int, message: str) -> Reply:
    return status, [], json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode()


def words(body: Any) -> str:
    return str(body["messages"][0]["content"][-1]["text"])


class Asked:
    """A server's `raw`: answers "yes: PROMPT" unless `otherwise` gives a reply, and keeps what it was sent."""

    def __init__(self, otherwise: Callable[[Any], Reply | None] = lambda body: None) -> None:
        self.otherwise, self.bodies, self.lock = otherwise, [], threading.Lock()
        self.answered = 0

    def __call__(self, body: Any) -> Reply:
        with self.lock:
            self.bodies.append(body)
            other = self.otherwise(body)
            self.answered += other is None
        return other or said(f"yes: {words(body)}")

    @property
    def prompts(self) -> list[str]:
        return [words(body) for body in self.bodies]


def picture(colour: str = "red", size: tuple[int, int] = (8, 8)) -> Image.Image:
    return Image.new("RGB", size, colour)


def question(number: int, pictures: Callable[[], Sequence[Image.Image]] | None = None, **more: Any) -> Question:
    given = {"prompt": f"What is {number}?", "pictures_key": f"pixels:{number}", **more}
    return Question(key=f"a/{number}", pictures=pictures or (lambda: [picture()]), **given)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "RETRIES", 0)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AnswerStore]:
    with AnswerStore(tmp_path / "answers.sqlite") as store:
        yield store


def of(server: ChatServer, store: AnswerStore) -> TextModel:
    return text_model(f"chat:{server.url}#ORG/tiny", store)


def test_answers_are_kept_and_not_asked_for_again(store: AnswerStore) -> None:
    asked = Asked()
    with ChatServer(raw=asked) as server:
        model = of(server, store)
        expected = {f"a/{i}": Answer(f"yes: What is {i}?") for i in range(20)}
        assert model.answer((question(i) for i in range(20)), "cpu") == expected
        assert sorted(asked.prompts) == sorted(f"What is {i}?" for i in range(20))
        assert model.answer([question(i) for i in range(20)], "cpu") == expected
        assert len(asked.bodies) == 20
        others = [question(0, most_tokens=9), question(1, pictures_key="pixels:x"), question(2, prompt="Well?")]
        model.answer(others, "cpu")
        assert len(asked.bodies) == 23
    assert (model.name, model.pretrained, model.looks) == ("ORG/tiny", server.url.split("/")[2], True)
    assert f"{server.url} ORG/tiny temperature=0" in model.identity


def test_the_same_pixels_are_asked_about_once(store: AnswerStore) -> None:
    asked = Asked()
    with ChatServer(raw=asked, latency_s=0.05) as server:
        twins = [Question(f"a/{i}", "What?", lambda: [picture()], "pixels:same") for i in range(5)]
        answers = of(server, store).answer(twins, "cpu")
    assert answers == {f"a/{i}": Answer("yes: What?") for i in range(5)}
    assert len(asked.bodies) == 1


def test_pictures_come_in_their_order_before_the_words(store: AnswerStore) -> None:
    asked = Asked()
    shown = [picture("red", (2000, 500)), Image.new("L", (10, 20), 7)]
    with ChatServer(raw=asked) as server:
        of(server, store).answer([question(0, lambda: shown, most_tokens=33)], "cpu")
    (body,) = asked.bodies
    assert (body["model"], body["temperature"], body["max_tokens"]) == ("ORG/tiny", 0, 33)
    (message,) = body["messages"]
    assert message["role"] == "user"
    first, second, text = message["content"]
    assert text == {"type": "text", "text": "What is 0?"}
    one, two = (sent(part) for part in (first, second))
    assert (one.format, one.size, one.getpixel((9, 9))) == ("JPEG", (1024, 256), pytest.approx((254, 0, 0), abs=2))
    assert (two.size, two.getpixel((9, 9))) == ((10, 20), pytest.approx((7, 7, 7), abs=1))
    assert shown[0].size == (2000, 500)  # the caller's own is as it was


def sent(part: Any) -> Image.Image:
    head, _, data = part["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(BytesIO(base64.b64decode(data)))


def test_no_more_is_decoded_than_is_under_way(store: AnswerStore) -> None:
    asked, most = Asked(), 0
    taken = decoded = 0

    def decode() -> list[Image.Image]:
        nonlocal decoded, most
        decoded += 1
        most = max(most, decoded - asked.answered)
        return [picture()]

    def many() -> Iterator[Question]:
        nonlocal taken, most
        for i in range(100):
            taken += 1
            most = max(most, taken - asked.answered)
            yield question(i, decode)

    with ChatServer(raw=asked, latency_s=0.01) as server:
        answers = of(server, store).answer(many(), "cpu")
    assert len(answers) == decoded == 100
    assert 1 < server.counts.slots <= chat.CONCURRENCY
    assert 1 < most <= chat.CONCURRENCY


def test_a_server_that_dies_half_way_and_comes_back(store: AnswerStore) -> None:
    asked = Asked()
    with ChatServer(("reset",), raw=asked) as server:

        def dying(body: Any) -> None:
            server.rate = 1.0 if asked.answered >= 29 else 0.0

        asked.otherwise = dying
        with pytest.raises(FusionError, match="the server stopped answering after") as raised:
            of(server, store).answer((question(i) for i in range(100)), "cpu")
        kept = [i for i in range(100) if store.get(of(server, store).identity, f"What is {i}?", f"pixels:{i}", 64)]
        assert f"after {len(kept)} of 100 questions: start it again and run the same command" in str(raised.value)
        assert 30 <= len(kept) == asked.answered < 100 - chat.GIVE_UP
        server.rate, asked.otherwise = 0.0, lambda body: None
        asked.bodies.clear()
        answers = of(server, store).answer((question(i) for i in range(100)), "cpu")
    assert answers == {f"a/{i}": Answer(f"yes: What is {i}?") for i in range(100)}
    assert sorted(asked.prompts) == sorted(f"What is {i}?" for i in range(100) if i not in kept)


@pytest.mark.parametrize("count", [3, 100])
def test_a_server_that_is_not_there(store: AnswerStore, count: int) -> None:
    with ChatServer() as server:
        url = server.url
    with pytest.raises(FusionError, match=f"stopped answering after 0 of {count} questions.*ConnectError"):
        text_model(f"chat:{url}#tiny", store).answer([question(i) for i in range(count)], "cpu")


def test_the_server_is_asked_again_where_it_stumbles(store: AnswerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "RETRIES", 1)
    asked = Asked(lambda body: None if len(asked.bodies) > 1 else refused(503, "loading the model"))
    with ChatServer(raw=asked) as server:
        assert of(server, store).answer([question(0)], "cpu") == {"a/0": Answer("yes: What is 0?")}
    assert len(asked.bodies) == 2


def test_a_question_that_is_refused_fails_alone_and_is_asked_again(store: AnswerStore) -> None:
    asked = Asked(lambda body: refused(400, "too long") if words(body) == "What is 3?" else None)
    with ChatServer(raw=asked) as server:
        answers = of(server, store).answer([question(i) for i in range(9)], "cpu")
        assert answers["a/3"] == Answer(None, "400 too long")
        assert all(answers[f"a/{i}"].text for i in range(9) if i != 3)
        asked.otherwise = lambda body: None
        asked.bodies.clear()
        answers = of(server, store).answer([question(i) for i in range(9)], "cpu")
    assert answers["a/3"].text
    assert asked.prompts == ["What is 3?"]


def test_failures_between_answers_do_not_stop_it(store: AnswerStore) -> None:
    asked = Asked(lambda body: refused(400, "no") if int(words(body)[8:-1]) % 4 else None)
    with ChatServer(raw=asked) as server:
        answers = of(server, store).answer([question(i) for i in range(80)], "cpu")
    assert sum(answer.text is None for answer in answers.values()) == 60


def test_a_server_that_refuses_everything(store: AnswerStore) -> None:
    asked = Asked(lambda body: refused(400, "At most 0 image(s) may be provided"))
    with ChatServer(raw=asked) as server, pytest.raises(FusionError) as raised:
        of(server, store).answer([question(i) for i in range(100)], "cpu")
    assert "refuses what it is asked after 0 of 100 questions: see that the model takes pictures" in str(raised.value)
    assert "(the last failure: 400 At most 0 image(s) may be provided)" in str(raised.value)
    assert len(asked.bodies) < chat.GIVE_UP + chat.CONCURRENCY


@pytest.mark.parametrize(
    ("status", "message", "told"),
    [(401, "Incorrect API key", "set OPENAI_API_KEY"), (403, "no access", "may not use this model"),
     (404, "The model `ORG/tiny` does not exist.", "name the model as the server does")],
)  # fmt: skip
def test_what_all_questions_fail_of_is_told_at_once(store: AnswerStore, status: int, message: str, told: str) -> None:
    asked = Asked(lambda body: refused(status, message))
    with ChatServer(raw=asked) as server, pytest.raises(FusionError, match=told) as raised:
        of(server, store).answer([question(i) for i in range(100)], "cpu")
    assert f"(the server said {status} {message})" in str(raised.value)
    assert len(asked.bodies) <= chat.CONCURRENCY


@pytest.mark.parametrize(("status", "fatal"), [(401, True), (400, False)])
def test_the_key_is_sent_and_never_told(
    tmp_path: Path, store: AnswerStore, monkeypatch: pytest.MonkeyPatch, status: int, fatal: bool,
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for talkative in ("openai", "httpx2", "httpcore2"):
        caplog.set_level("DEBUG", talkative)
    asked = Asked(lambda body: said(f"The key is {KEY}.") if words(body) == "What is 0?" else None)
    with ChatServer(raw=asked) as server:
        model = of(server, store)
        told = [str(model.answer([question(i) for i in range(2)], "cpu"))]
        assert f"Bearer {KEY}" in server.counts.headers
        asked.otherwise = lambda body: refused(status, f"Incorrect API key provided: {KEY}; Bearer {KEY[:9]}")
        try:
            told.append(str(model.answer([question(2)], "cpu")))
            assert not fatal
        except FusionError as error:
            assert fatal
            told.append(str(error))
    assert "The key is ***." in told[0]
    assert "Incorrect API key provided: ***" in told[1]
    assert "HTTP" in caplog.text
    assert "base64" not in caplog.text  # nor the pictures
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for secret in (KEY, KEY[:9]):
        assert secret not in "".join(told) + model.identity + model.spec + caplog.text + "".join(capfd.readouterr())
        assert secret.encode() not in files


def test_a_key_that_no_header_can_hold(store: AnswerStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-pass wörd")
    with pytest.raises(UsageError, match="OPENAI_API_KEY holds") as raised:
        text_model("chat:http://localhost:1/v1#tiny", store).answer([question(0)], "cpu")
    assert "wörd" not in str(raised.value)


@pytest.mark.parametrize(
    ("modern", "warm"), [(True, True), (False, False), (True, False)], ids=["length", "temperature", "both"]
)
@pytest.mark.parametrize("status", [400, 422])
def test_parameters_that_a_server_does_not_take(
    store: AnswerStore, status: int, modern: bool, warm: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    def strict(body: Any) -> Reply | None:
        if modern and "max_tokens" in body:
            return refused(status, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.")
        if not warm and "temperature" in body:
            return refused(status, "Unsupported value: 'temperature' does not support 0 with this model.")
        return None

    asked = Asked(strict)
    with ChatServer(raw=asked) as server:
        answers = of(server, store).answer([question(i) for i in range(60)], "cpu")
    assert all(answer.text for answer in answers.values())
    refusals = len(asked.bodies) - asked.answered
    assert 1 <= refusals <= 2 * chat.CONCURRENCY
    last = asked.bodies[-1]
    assert last["max_completion_tokens" if modern else "max_tokens"] == 64
    assert ("temperature" in last) == warm
    assert ("takes no temperature" in capfd.readouterr().err) == (not warm)


def test_a_long_question_does_not_change_how_the_others_are_sent(store: AnswerStore) -> None:
    long = "'max_tokens' is too large: 64. This model's maximum context length is 100."
    asked = Asked(lambda body: refused(400, long) if words(body) == "What is 30?" else None)
    with ChatServer(raw=asked) as server:
        answers = of(server, store).answer([question(i) for i in range(60)], "cpu")
    assert answers["a/30"] == Answer(None, f"400 {long}")
    assert asked.answered == 59
    assert all("max_tokens" in body for body in asked.bodies)


def test_a_picture_that_cannot_be_read_is_a_failure(store: AnswerStore) -> None:
    def damaged() -> Sequence[Image.Image]:
        raise FusionError("a/1: its rgb view cannot be read: the image is damaged")

    asked = Asked()
    with ChatServer(raw=asked) as server:
        answers = of(server, store).answer([question(0), *(question(i, damaged) for i in range(1, 40))], "cpu")
    assert answers["a/1"] == Answer(None, "a/1: its rgb view cannot be read: the image is damaged")
    assert asked.prompts == ["What is 0?"]


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (said(None, "length"), "turn the model's thinking off"),
        (said(" ", "length"), "turn the model's thinking off"),
        ((200, [], b"[]"), "no chat completion"),
        ((200, [], b'{"choices": []}'), "no chat completion"),
        ((200, [], b'{"choices": null}'), "no chat completion"),
        ((200, [], b'{"choices": [{}]}'), "no chat completion"),
        ((200, [], b"<html>"), ""),
        (said(["a"]), "no chat completion"),
        ((302, ["Location: /elsewhere"], b""), ""),
    ],
)
def test_what_is_no_answer_is_a_failure(store: AnswerStore, reply: Reply, told: str) -> None:
    asked = Asked(lambda body: reply if words(body) == "What is 0?" else None)
    with ChatServer(raw=asked) as server:
        answers = of(server, store).answer([question(0), question(1)], "cpu")
    assert answers["a/0"].text is None
    assert answers["a/0"].error
    assert told in answers["a/0"].error
    assert answers["a/1"].text


def test_an_answer_may_be_empty_or_odd(store: AnswerStore) -> None:
    odd = {"What is 0?": "", "What is 1?": "half \ud800 of a pair", "What is 2?": "x" * 1_000_000}
    asked = Asked(lambda body: said(odd[words(body)]))
    with ChatServer(raw=asked) as server:
        answers = of(server, store).answer([question(i) for i in range(3)], "cpu")
        assert of(server, store).answer([question(i) for i in range(3)], "cpu") == answers
    assert [answers[f"a/{i}"].text for i in range(3)] == ["", "half ? of a pair", "x" * chat.MOST_CHARACTERS]
    assert len(asked.bodies) == 3


@pytest.mark.parametrize(
    "rest",
    [
        "", "http://localhost:8000/v1", "http://localhost:8000/v1#", "#tiny", "localhost:8000/v1#tiny",
        "ftp://localhost/v1#tiny", "http:///v1#tiny", "http://[::1/v1#tiny", "http://me:hidden@localhost:8000/v1#tiny",
        "http://hidden@localhost/v1#tiny", "http://localhost/v1?api-key=hidden#tiny",
    ],
)  # fmt: skip
def test_a_spec_without_an_address_or_with_a_secret(store: AnswerStore, rest: str) -> None:
    with pytest.raises(UsageError, match="name the address and the model") as raised:
        text_model(f"chat:{rest}", store)
    assert "hidden" not in str(raised.value)


def test_within_a_notebook(store: AnswerStore) -> None:
    async def cell() -> Any:
        return of(server, store).answer([question(0)], "cpu")

    with ChatServer(raw=Asked()) as server:
        assert asyncio.run(cell()) == {"a/0": Answer("yes: What is 0?")}


def test_kinds_of_models(store: AnswerStore) -> None:
    with pytest.raises(UsageError, match=r"--model open_clip.*chat:.*hf-vlm:.*predictions:"):
        text_model("open_clip:ViT-B-32/openai", store)
    with pytest.raises(UsageError, match="no model that answers in words"):
        text_model("chat", store)
