"""What `fusionrs-build caption --captioner chat` asks of a record, as a row to learn from.

A model that learnt such rows can be the model of that stage: it knows the prompt, and answers with a JSON object.
"""

import json
from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

from fusionrs_builder import pixels
from fusionrs_builder.benchmark.records import Record, Records
from fusionrs_builder.benchmarking import facts_of
from fusionrs_builder.caption.chat.prompt import Prompt
from fusionrs_builder.caption.chat.question import Questions
from fusionrs_builder.caption.evidence import measure
from fusionrs_builder.caption.grounded import published
from fusionrs_builder.settings import CaptionSettings


class CaptionStage:
    """Makes rows of the records of a split, with the prompt of a build that says nothing of captions.

    Attributes:
        places: of the records that have an infrared view with captions.
    """

    def __init__(self, records: Records) -> None:
        settings = CaptionSettings()
        self._records, self._questions = records, Questions(settings, Prompt.load(settings.prompt))
        self.places = [place for place, one in enumerate(records) if one.ir_captions and one.ir_sha256]

    def row(self, place: int) -> dict[str, Any]:
        """As trl takes it: `prompt` and `completion`, in messages, and `images`.

        Raises:
            FusionError: a picture is damaged.
        """
        record: Record = self._records[place]
        rgb = np.asarray(self._records.picture(place, "rgb")) if record.rgb_sha256 else None
        ir = np.asarray(self._records.picture(place, "infrared").convert("L"))
        facts = facts_of(record)
        came = published(facts)
        said = {
            "scene": [text for text in record.scene_captions if text not in came],
            "ir_aware": list(record.ir_captions),
            "unsupported": [],
        }
        question = self._questions.about(
            facts,
            None if rgb is None else (pixels.encode_jpeg(rgb), rgb),
            (pixels.encode_jpeg(ir), ir),
            measure(ir, rgb, record.boxes),
            (len(said["scene"]), len(said["ir_aware"])),
        )
        asked = [{"type": "text", "text": question.asked.text}, *({"type": "image"} for _ in question.images)]
        return {
            "prompt": [{"role": "system", "content": question.system}, {"role": "user", "content": asked}],
            "completion": [{"role": "assistant", "content": json.dumps(said, ensure_ascii=False)}],
            "images": [Image.open(BytesIO(image)).convert("RGB") for image in question.images],
        }
