"""What models are asked, and the words that class names become. What changes here is a new version of a protocol."""

import re

VISIBLE = (
    "a satellite image of {}.",
    "an aerial image of {}.",
    "a remote sensing image of {}.",
    "an overhead view of {}.",
    "{} seen from above.",
)
"""Prompt ensemble of scenes in visible images; `{}` is the class."""

INFRARED = (
    "an infrared image of {}.",
    "an infrared satellite image of {}.",
    "an infrared aerial image of {}.",
    "a grayscale infrared view of {} from above.",
    "{} in an overhead infrared image.",
)
"""Of scenes in infrared views, controls too."""

PRESENT = (
    "an infrared image with a {}.",
    "an aerial infrared image that shows a {}.",
    "a {} in an overhead infrared image.",
    "an infrared image of one or more {} objects seen from above.",
)
"""Of objects that an infrared view may show."""

CAPTION_INFRARED = (
    "This is an infrared image taken from above. Describe in one sentence what it shows: what is there, what is bright "
    "and what is dark, outlines and contrast. Name no colours and no temperatures."
)
CAPTION_VISIBLE = "This is an image taken from above. Describe in one sentence what it shows."
CAPTION_PAIR = (
    "Both images show the same place from above: first in visible light, then in infrared. Describe in one sentence "
    "what the infrared image shows: what is there, what is bright and what is dark, outlines and contrast. Name no "
    "colours and no temperatures."
)


def words(label: str) -> str:
    """A class name as one says it: `AnnualCrop` and `annual_crop` are `annual crop`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", label)
    return re.sub(r"[\s_\-/]+", " ", spaced).strip().lower()
