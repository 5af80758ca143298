"""What a model is asked about one record: the images, the prompt with the facts in it, and the key of the answer.

Labels and published captions come from strangers. They enter a question as JSON strings inside the facts, labels as
words only; file names and ids never do.
"""

import base64
import hashlib
import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusionrs_builder import pixels
from fusionrs_builder.caption import facts
from fusionrs_builder.caption.chat.ledger import Asked
from fusionrs_builder.caption.chat.prompt import Prompt
from fusionrs_builder.caption.evidence import Evidence
from fusionrs_builder.caption.geometry import group_place, locate
from fusionrs_builder.settings import CaptionSettings

JPEG = b"\xff\xd8\xff"

MAX_PUBLISHED, MAX_CHARACTERS = 3, 300
"""Published captions that are shown to the model, and characters of each."""

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        name: {"type": "array", "items": {"type": "string"}} for name in ("scene", "ir_aware", "unsupported")
    },
    "required": ["scene", "ir_aware", "unsupported"],
    "additionalProperties": False,
}
"""Of the answer. `unsupported`: labels that the model could not find in the images."""


@dataclass(frozen=True)
class Question:
    """One question, ready to be sent to any server.

    Attributes:
        asked: what its answer is kept under.
        system: the system message.
        images: JPEG files, the visible one first.
    """

    asked: Asked
    system: str
    images: tuple[bytes, ...]

    def messages(self) -> list[dict[str, Any]]:
        """As the chat completions of OpenAI want them."""
        content: list[dict[str, Any]] = [{"type": "text", "text": self.asked.text}]
        for image in self.images:
            url = "data:image/jpeg;base64," + base64.b64encode(image).decode()
            content.append({"type": "image_url", "image_url": {"url": url}})
        return [{"role": "system", "content": self.system}, {"role": "user", "content": content}]


class Questions:
    """Makes the questions of a run.

    Args:
        settings: what is asked, and of whom.
        prompt: the text.
    """

    def __init__(self, settings: CaptionSettings, prompt: Prompt) -> None:
        self.settings, self.prompt = settings, prompt
        self.system = prompt.tables["system"].strip()
        self.parameters = {
            "max_tokens": settings.max_tokens,
            "temperature": settings.temperature,
            "image_side": settings.image_side,
        }

    def about(
        self,
        record: facts.Record,
        rgb: tuple[bytes, NDArray[np.uint8]] | None,
        ir: tuple[bytes, NDArray[np.uint8]] | None,
        seen: Evidence | None,
        wanted: tuple[int, int],
    ) -> Question:
        """The question about a record.

        Args:
            record: labels, boxes and published captions.
            rgb: the visible image as it is kept, and decoded: uint8 [H, W, 3]; None where there is none.
            ir: the infrared view likewise: uint8 [H, W].
            seen: measurements of the infrared view; None where there is none.
            wanted: scene and infrared captions that are to be written.
        """
        shown = [image for image, view in ((rgb, "rgb"), (ir, "ir")) if image and self.settings.views in ("both", view)]
        views = self.prompt.tables["views"]
        if len(shown) == 2:
            told = views["both"]
        elif shown:
            told = views["ir" if shown[0] is ir else "rgb"]
        else:  # the one view that is to be shown is not there
            shown, told = [image for image in (rgb, ir) if image], views["ir" if rgb is None else "rgb"]
        kind = record.origin if record.origin == "measured" else "translated"
        kind = "thermal" if kind == "measured" and record.band == "lwir" else kind
        text = self.prompt.tables["task"].format(
            views=told,
            infrared=self.prompt.tables["infrared"][kind].strip() if seen else "",
            facts=json.dumps(known(record, seen, rgb[1].shape[:2] if rgb else None), ensure_ascii=False),
            scene=wanted[0],
            ir=wanted[1],
        )
        sent = [self._sent(*image) for image in shown]
        return self._question(record.id, text.strip(), tuple(image for image, _ in sent), sum(n for _, n in sent))

    def again(self, question: Question, findings: Sequence[str]) -> Question:
        """The same question once more, with what was wrong with its answer."""
        told = "\n".join(f"- {each}" for each in findings)
        text = f"{question.asked.text}\n\n{self.prompt.tables['again'].format(findings=told).strip()}"
        return self._question(question.asked.record, text, question.images, question.asked.pixels)

    def _question(self, record: str, text: str, images: tuple[bytes, ...], pixels: int) -> Question:
        hashes = tuple(hashlib.sha256(image).hexdigest() for image in images)
        sent = [list(hashes), self.prompt.sha256, self.settings.model, self.parameters, text]
        key = hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()
        asked = Asked(key, record, self.settings.model, self.prompt.sha256, self.parameters, hashes, text, pixels)
        return Question(asked, self.system, images)

    def _sent(self, data: bytes, array: NDArray[np.uint8]) -> tuple[bytes, int]:
        """A JPEG file of `image_side` pixels at most, and its pixels; one that is so already goes as it is."""
        side = self.settings.image_side
        if data.startswith(JPEG) and max(array.shape[:2]) <= side:
            return data, array.shape[0] * array.shape[1]
        image = Image.fromarray(array)
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        if image.mode not in ("L", "RGB"):
            image = image.convert("RGB")
        file = BytesIO()
        image.save(file, "JPEG", quality=pixels.JPEG_QUALITY)
        return file.getvalue(), image.width * image.height


def known(record: facts.Record, seen: Evidence | None, shape: tuple[int, ...] | None) -> dict[str, Any]:
    """The facts a model is given, JSON values only.

    Args:
        record: labels, boxes and published captions.
        seen: measurements of the infrared view.
        shape: height and width of the visible image; None where there is none.
    """
    found: dict[str, Any] = {}
    published = [*record.publisher, *record.model, *record.template][:MAX_PUBLISHED]
    if published:
        found["published_captions"] = [_printable(text)[:MAX_CHARACTERS] for text in published]
    things = {id(thing.placed): thing for thing in seen.things} if seen else {}
    if seen:
        placed = [thing.placed for thing in seen.things]
    else:
        placed = locate(record.boxes, shape[1], shape[0]) if shape else []
    said = facts.spoken(record, placed, {}, lambda noun: True)
    if said.classes:
        found["scene_labels"] = list(said.classes)
    objects = []
    for noun, some in said.groups:
        group: dict[str, Any] = {"label": noun, "count": len(some), "where": group_place(some)}
        tones = [things[id(one)].tone for one in some if id(one) in things]
        group["infrared"] = {tone: tones.count(tone) for tone in ("brighter", "darker", "similar") if tone in tones}
        objects.append({key: value for key, value in group.items() if value})
    if objects:
        found["objects"] = objects
    if record.gsd_m:
        found["metres_per_pixel"] = round(float(record.gsd_m), 3)
    if seen:
        found["infrared"] = _measured(seen)
    return found


def _measured(seen: Evidence) -> dict[str, Any]:
    found: dict[str, Any] = {
        "mean_brightness_0_to_255": round(seen.brightness),
        "contrast_0_to_255": round(seen.contrast),
        "dark_share": round(seen.dark_share, 2),
        "bright_share": round(seen.bright_share, 2),
        "brighter_side": seen.side,
    }
    for name, region in (("brightest_region", seen.brightest), ("darkest_region", seen.darkest)):
        if region is not None and region.place:
            found[name] = {"where": region.place, "share_of_frame": round(region.share, 2)}
    if seen.correlation is not None:
        found["brightness_correlation_with_visible"] = round(seen.correlation, 2)
    return {key: value for key, value in found.items() if value is not None}


def _printable(text: str) -> str:
    return " ".join("".join(" " if unicodedata.category(c)[0] == "C" else c for c in text).split())
