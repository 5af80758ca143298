"""What an answer costs, and a cap that is never crossed."""

import asyncio

from fusionrs_builder.caption.chat.ledger import Asked, Spent
from fusionrs_builder.errors import FusionError
from fusionrs_builder.settings import CaptionSettings, Price

MILLION = 1_000_000

IMAGE_TOKENS, LEAST_TOKENS, CHARACTERS_A_TOKEN = 10_000 / 512**2, 1_000, 2
"""For an upper bound of the tokens of a question before any was counted: of a pixel, where the dearest model known
takes 8,500 for 512 x 512; of an image, however small; and half the characters that a token of English has."""

ENOUGH, SPARE = 8, 1.25
"""After so many answers the bound is the most that was counted of its like, and a quarter to spare; before, the larger
of that and the guess."""


def price_of(settings: CaptionSettings) -> Price | None:
    """The price of the model by the table; None where it stands in none."""
    return settings.prices.get(settings.model)


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
    """

    def __init__(self, price: Price | None, max_usd: float | None, spent: Spent) -> None:
        self.price, self.max_usd = price, max_usd
        self.spent = spent.usd + spent.doubtful_usd
        self.reserved, self.open, self.answers = 0.0, 0, 0
        self._counted, self._share = 0, 0.0
        self._settled = asyncio.Condition()

    def bound(self, asked: Asked, max_tokens: int, batch: bool = False) -> float | None:
        """Dollars that a question may cost at most; None without a price."""
        share = SPARE * self._share if self._counted >= ENOUGH else max(1.0, SPARE * self._share)
        return cost(self.price, int(self._guess(asked) * share) + 1, max_tokens, batch)

    def learn(self, asked: Asked, tokens_in: int) -> None:
        """A question had so many tokens; 0 where the server does not count."""
        self.answers += 1
        if tokens_in:
            self._counted += 1
            self._share = max(self._share, tokens_in / self._guess(asked))

    def _guess(self, asked: Asked) -> int:
        images = int(IMAGE_TOKENS * asked.pixels) + LEAST_TOKENS * len(asked.images)
        return len(asked.text) // CHARACTERS_A_TOKEN + images + 1

    def fits(self, usd: float | None) -> bool:
        """Whether so much more may be spent now."""
        return usd is None or self.max_usd is None or self.spent + self.reserved + usd <= self.max_usd

    def spent_up(self, usd: float) -> FusionError:
        """What to say when it may not."""
        return FusionError(
            f"stopped below --max-usd {self.max_usd:g}: ${self.spent:.4f} are spent, and the next question "
            f"may cost ${usd:.4f}. Every answer is kept: go on with a higher --max-usd"
        )

    async def reserve(self, asked: Asked, max_tokens: int) -> float | None:
        """Wait until a question may be sent; with a cap the first goes alone, to tell what a question costs.

        Returns:
            Its bound, which is held until `settle`.

        Raises:
            FusionError: it would cross the cap, and nothing is under way that could turn out cheaper.
        """
        async with self._settled:
            while True:
                usd = self.bound(asked, max_tokens)
                first = self.max_usd is not None and not self.answers and self.open
                if self.fits(usd) and not first:
                    break
                if not self.open:
                    raise self.spent_up(usd or 0.0)
                await self._settled.wait()
            self.reserved += usd or 0.0
            self.open += 1
        return usd

    async def settle(self, reserved: float | None, spent: float | None) -> None:
        """A question that was reserved for has ended, and cost so much."""
        async with self._settled:
            self.open -= 1
            self.reserved = max(0.0, self.reserved - (reserved or 0.0)) if self.open else 0.0
            self.spent += spent or 0.0
            self._settled.notify_all()
