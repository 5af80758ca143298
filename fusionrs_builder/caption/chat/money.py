"""What an answer costs, and a cap that is never crossed."""

import asyncio
from collections.abc import Mapping

from fusionrs_builder.caption.chat.ledger import Spent
from fusionrs_builder.caption.chat.question import Question
from fusionrs_builder.config import CaptionSettings, Price
from fusionrs_builder.errors import FusionError, UsageError

MILLION = 1_000_000

IMAGE_TOKENS, CHARACTERS_A_TOKEN = 2000, 2
"""For an upper bound of the tokens of a question before any was counted: more than any server takes for an image of the
default size, and half the characters that a token of English has."""

ENOUGH, SPARE = 20, 1.25
"""After so many answers the bound is what was counted of its like at most, times a quarter to spare."""


def price_of(settings: CaptionSettings) -> Price | None:
    """The price of the model by the table; None where it stands in none."""
    prices: Mapping[str, Price] = settings.prices
    return prices.get(settings.model)


def cost(price: Price | None, tokens_in: int, tokens_out: int, batch: bool = False) -> float | None:
    """Dollars of an answer; None without a price."""
    if price is None:
        return None
    usd = (tokens_in * price.input + tokens_out * price.output) / MILLION
    return usd * price.batch if batch else usd


class Budget:
    """Keeps what was spent, what may be spent by questions under way, and both below the cap.

    Args:
        price: of the model.
        max_usd: over all answers of the ledger; None: no cap.
        spent: by the ledger, at the start.

    Raises:
        UsageError: a cap without a price.
    """

    def __init__(self, price: Price | None, max_usd: float | None, spent: Spent) -> None:
        if max_usd is not None and price is None:
            raise UsageError(
                'caption.max_usd needs a price: add [caption.prices."MODEL"] with input and output, dollars a million '
                "tokens, to fusionrs.toml"
            )
        self.price, self.max_usd = price, max_usd
        self.spent = spent.usd + spent.doubtful_usd
        self.reserved = 0.0
        self._counted, self._share = 0, 0.0
        self._settled = asyncio.Condition()

    def bound(self, question: Question, max_tokens: int, batch: bool = False) -> float | None:
        """Dollars that a question may cost at most; None without a price."""
        tokens = self._guess(question)
        if self._counted >= ENOUGH:
            tokens = int(tokens * min(1.0, SPARE * self._share)) + 1
        return cost(self.price, tokens, max_tokens, batch)

    def learn(self, question: Question, tokens_in: int) -> None:
        """A question had so many tokens."""
        self._counted += 1
        self._share = max(self._share, tokens_in / self._guess(question))

    def _guess(self, question: Question) -> int:
        characters = len(question.system) + len(question.asked.text)
        return characters // CHARACTERS_A_TOKEN + IMAGE_TOKENS * len(question.images) + 1

    def fits(self, usd: float | None) -> bool:
        """Whether so much more may be spent now."""
        return usd is None or self.max_usd is None or self.spent + self.reserved + usd <= self.max_usd

    def spent_up(self, usd: float) -> FusionError:
        """What to say when it may not."""
        return FusionError(
            f"stopped below --max-usd {self.max_usd:g}: ${self.spent:.4f} are spent, and the next question "
            f"may cost ${usd:.4f}. Every answer is kept: go on with a higher --max-usd"
        )

    async def reserve(self, usd: float | None) -> None:
        """Wait until so much may be spent.

        Raises:
            FusionError: it would cross the cap, and nothing is under way that could turn out cheaper.
        """
        if usd is None:
            return
        async with self._settled:
            while not self.fits(usd):
                if not self.reserved:
                    raise self.spent_up(usd)
                await self._settled.wait()
            self.reserved += usd

    async def settle(self, reserved: float | None, spent: float | None) -> None:
        """A question that was reserved for has ended, and cost so much."""
        if reserved is None:
            return
        async with self._settled:
            self.reserved = max(0.0, self.reserved - reserved)
            if self.reserved < 1e-12:  # sums of many small numbers
                self.reserved = 0.0
            self.spent += spent or 0.0
            self._settled.notify_all()
