"""What distilabel does for `benchmarks.caption`; runs in its own environment.

python distilabel_caption.py ROWS URL BATCH
"""

import sys
from pathlib import Path

from distilabel.models import OpenAILLM
from distilabel.pipeline import Pipeline
from distilabel.steps import LoadDataFromDicts
from distilabel.steps.tasks import TextGenerationWithImage


def main() -> None:
    rows, url, batch = Path(sys.argv[1]).read_text().split("\n"), sys.argv[2], int(sys.argv[3])
    with Pipeline(name="captions") as pipeline:
        load = LoadDataFromDicts(
            data=[{"instruction": "Describe the image.", "image": row} for row in rows], batch_size=batch
        )
        task = TextGenerationWithImage(
            llm=OpenAILLM(model="m", base_url=url, api_key="none"), image_type="base64", input_batch_size=batch
        )
        load >> task
    found = pipeline.run(use_cache=False)
    assert found["default"]["train"].num_rows == len(rows)


if __name__ == "__main__":
    main()
