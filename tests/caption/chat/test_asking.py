import asyncio
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionrs_builder import pixels
from fusionrs_builder.caption.chat.asking import Asking, UnansweredError
from fusionrs_builder.caption.chat.endpoint import Endpoint
from fusionrs_builder.caption.chat.ledger import Answer, Ledger
from fusionrs_builder.caption.chat.money import Budget, price_of
from fusionrs_builder.caption.chat.prompt import Prompt
from fusionrs_builder.caption.chat.question import Question, Questions
from fusionrs_builder.caption.evidence import measure
from fusionrs_builder.caption.facts import Record
from fusionrs_builder.errors import FusionError
from fusionrs_builder.settings import CaptionSettings, Price
from tests.conftest import picture

from .chat_server import ChatServer, tokens_of

KEY = "sk-secret-0123456789abcdef"

PRICE = Price(input=1.0, output=2.0)


def settings_of(server: ChatServer, **more: Any) -> CaptionSettings:
    given = {"captioner": "chat", "base_url": server.url, "model": "m", "timeout": 1, "patience": 20, **more}
    return CaptionSettings(**given)


def questions(settings: CaptionSettings, count: int) -> list[Question]:
    made = Questions(settings, Prompt.load(settings.prompt))
    found = []
    for n in range(count):
        rgb, ir = picture(n), picture(n, channels=1)
        views = [(pixels.encode_jpeg(array), array) for array in (rgb, ir)]
        found.append(made.about(Record(f"demo/{n}"), views[0], views[1], measure(ir, rgb, ()), (2, 2)))
    return found


def ask(ledger: Ledger, settings: CaptionSettings, some: list[Question], at_once: bool = True) -> list[Any]:
    """Answers, or what was raised instead of them."""

    async def run() -> list[Any]:
        endpoint = Endpoint(settings, KEY, price_of(settings))
        asking = Asking(settings, endpoint, ledger, Budget(price_of(settings), settings.max_usd, ledger.spent()))
        try:
            if at_once:
                return list(await asyncio.gather(*(asking.ask(each) for each in some), return_exceptions=True))
            return [(await asyncio.gather(asking.ask(each), return_exceptions=True))[0] for each in some]
        finally:
            await endpoint.close()

    return asyncio.run(run())


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    with Ledger(tmp_path / "ledger.sqlite") as opened:
        yield opened


def test_a_question_is_paid_for_once(ledger: Ledger) -> None:
    with ChatServer() as server:
        settings = settings_of(server, prices={"m": PRICE})
        some = questions(settings, 5)
        first = ask(ledger, settings, [*some, *some])
        again = ask(ledger, settings, some)
        assert all(isinstance(each, Answer) for each in first)
        assert first[:5] == first[5:] == again
        assert server.counts.asked == {"ok": 5}
        spent = ledger.spent()
        assert (spent.answers, spent.tokens_in, spent.tokens_out) == (
            5,
            server.counts.tokens_in,
            server.counts.tokens_out,
        )
        assert spent.usd == pytest.approx((spent.tokens_in + 2 * spent.tokens_out) / 1e6)
        assert spent.doubtful_usd == 0


def test_what_is_sent(ledger: Ledger) -> None:
    with ChatServer() as server:
        settings = settings_of(server, max_tokens=77, temperature=0.5)
        (question,) = questions(settings, 1)
        ask(ledger, settings, [question])
        sent = server.counts.last
    assert (sent["model"], sent["max_tokens"], sent["temperature"]) == ("m", 77, 0.5)
    assert sent["response_format"]["json_schema"]["schema"]["required"] == ["scene", "ir_aware", "unsupported"]
    text, rgb, ir = sent["messages"][1]["content"]
    assert "demo/0" not in str(sent)
    assert "mean_brightness_0_to_255" in text["text"]
    assert rgb["image_url"]["url"].startswith("data:image/jpeg;base64,")
    assert rgb != ir


def test_a_server_without_schemas_is_asked_in_words(ledger: Ledger) -> None:
    with ChatServer(takes_schema=False) as server:
        settings = settings_of(server)
        found = ask(ledger, settings, questions(settings, 4), at_once=False)
        assert all(isinstance(each, Answer) for each in found)
        assert server.counts.asked == {"unknown-field": 2, "ok": 4}  # found out once
        assert "response_format" not in server.counts.last


@pytest.mark.parametrize("fault", ["429", "429-after", "500", "reset", "half", "garbage", "long"])
def test_what_passes_is_asked_again(ledger: Ledger, fault: str) -> None:
    with ChatServer([fault], rate=0.4, seed=1) as server:
        settings = settings_of(server, prices={"m": PRICE}, concurrency=4)
        found = ask(ledger, settings, questions(settings, 12))
        assert all(isinstance(each, Answer) for each in found), found
        assert server.counts.asked[fault] > 0
        assert max(server.counts.answered.values()) == 1
        spent = ledger.spent()
        assert spent.tokens_in == server.counts.tokens_in
        assert (spent.doubtful_usd > 0) == (fault in ("reset", "half", "garbage", "long"))


def test_a_server_that_hangs(ledger: Ledger) -> None:
    with ChatServer(["hang"], rate=0.3, seed=3) as server:
        settings = settings_of(server, timeout=0.3)
        found = ask(ledger, settings, questions(settings, 8))
        assert all(isinstance(each, Answer) for each in found)
        assert ledger.errors()[0][0] == "timeout: no answer within 0.3 s"


@pytest.mark.parametrize(("fault", "what"), [("401", "set OPENAI_API_KEY"), ("404", "check --model and --base-url")])
def test_a_wrong_key_or_model_ends_the_run_and_the_key_is_nowhere(
    ledger: Ledger, fault: str, what: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level("DEBUG")
    with ChatServer([fault], rate=1.0) as server:
        settings = settings_of(server)
        found = ask(ledger, settings, questions(settings, 3))
    errors = [each for each in found if isinstance(each, FusionError)]
    assert errors
    assert what in str(errors[0])
    everything = "".join("".join(traceback.format_exception(each)) for each in found) + caplog.text
    everything += "".join(capfd.readouterr()) + str(ledger.errors()) + ledger.path.read_bytes().decode(errors="replace")
    assert KEY not in everything
    assert KEY[10:] not in everything


def test_what_is_rejected_from_the_first_ends_the_run(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChatServer, "_content", lambda *_: (400, [], b'{"error": {"message": "temperature: only 1"}}'))
    with ChatServer() as server:
        settings = settings_of(server)
        found = ask(ledger, settings, questions(settings, 4), at_once=False)
    assert any(isinstance(each, FusionError) and "temperature: only 1" in str(each) for each in found)


def test_a_single_question_without_an_answer_is_given_up(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    real = ChatServer._content

    def content(self: ChatServer, kind: str, body: Any) -> Any:
        bad = tokens_of(body)[0] and body["messages"][1]["content"][1]["image_url"]["url"] == url
        return (500, [], b"{}") if bad else real(self, kind, body)

    monkeypatch.setattr(ChatServer, "_content", content)
    with ChatServer() as server:
        settings = settings_of(server, concurrency=2)
        some = questions(settings, 10)
        url = some[4].messages()[1]["content"][1]["image_url"]["url"]
        found = ask(ledger, settings, some)
    assert isinstance(found[4], UnansweredError)
    assert "http_500" in str(found[4])
    assert sum(isinstance(each, Answer) for each in found) == 9
    assert ledger.find(some[4].asked.key) is None


def test_a_server_that_is_not_there(ledger: Ledger) -> None:
    with ChatServer() as server:
        settings = settings_of(server, patience=1.5)
    found = ask(ledger, settings, questions(settings, 2))
    assert all(isinstance(each, FusionError) and "gave no answer for" in str(each) for each in found)
    assert ledger.spent().doubtful_usd == 0


def test_the_cap_is_never_crossed_and_a_higher_one_goes_on(ledger: Ledger) -> None:
    with ChatServer() as server:
        settings = settings_of(server, prices={"m": PRICE}, max_usd=0.04, concurrency=8)
        some = questions(settings, 40)
        found = ask(ledger, settings, some)
        stopped = [each for each in found if isinstance(each, FusionError)]
        assert stopped
        assert "higher --max-usd" in str(stopped[0])
        spent = ledger.spent().usd
        assert 0.03 < spent <= 0.04
        charged = (server.counts.tokens_in + 2 * server.counts.tokens_out) / 1e6
        assert charged == pytest.approx(spent)
        higher = settings.model_copy(update={"max_usd": 1.0})
        assert all(isinstance(each, Answer) for each in ask(ledger, higher, some))
        assert max(server.counts.answered.values()) == 1


def test_images_are_made_small_and_kept_as_they_are_where_they_may_be() -> None:
    settings = CaptionSettings(captioner="chat", model="m", image_side=32)
    array = picture(1)
    data = pixels.encode_jpeg(array)
    made = Questions(settings, Prompt.load("fused"))
    small = made.about(Record("a"), (data, array), None, None, (2, 0)).images[0]
    assert max(pixels.rgb_array(small).shape) == 32
    larger = Questions(settings.model_copy(update={"image_side": 512}), Prompt.load("fused"))
    assert larger.about(Record("a"), (data, array), None, None, (2, 0)).images == (data,)
    assert np.array_equal(pixels.rgb_array(data).shape, array.shape)
