# Every target makes the virtual environment when it is missing, or older than pyproject.toml.
.PHONY: demo test lint bench scores ablation gpu torture format clean

PYTHON ?= python3
VENV ?= .venv
RUN = $(VENV)/bin/
STAMP = $(VENV)/.stamp
PEERS ?= .peers
PEER = $(PEERS)/img2dataset/bin/img2dataset
DISTILABEL = $(PEERS)/distilabel/bin/python
DATASETS3 = $(PEERS)/datasets3/bin/python
CLIP_BENCHMARK = $(PEERS)/clip_benchmark/clip_benchmark
FUSIONRS_SAMPLES ?= $(abspath $(wildcard ../shared/data))
export FUSIONRS_SAMPLES

demo: $(STAMP)  ## build a real dataset end to end in demo/
	$(RUN)fusionrs-build demo

test: $(STAMP) $(DATASETS3)  ## the whole test suite
	FUSIONRS_DATASETS3=$(abspath $(DATASETS3)) $(RUN)python -m pytest -n 2 --dist worksteal tests

lint: $(STAMP)  ## style, types, and who may import whom
	$(RUN)ruff check .
	$(RUN)ruff format --check .
	$(RUN)mypy
	$(RUN)lint-imports

bench: $(STAMP) $(PEER) $(DISTILABEL) $(CLIP_BENCHMARK)  ## speed, as ratios; one JSON a run in benchmarks/results/
	$(RUN)python -m benchmarks.translate
	$(RUN)python -m benchmarks.training
	$(RUN)python -m benchmarks.harmonise --peer $(PEER)
	$(RUN)python -m benchmarks.fetch --torture
	$(RUN)python -m benchmarks.stac
	$(RUN)python -m benchmarks.curate
	$(RUN)python -m benchmarks.copies
	$(RUN)python -m benchmarks.caption --peer $(DISTILABEL)
	$(RUN)python -m benchmarks.caption_checks
	$(RUN)python -m benchmarks.caption_estimate
	$(RUN)python -m benchmarks.export
	$(RUN)python -m benchmarks.release_read
	$(RUN)python -m benchmarks.caption_metrics
	$(RUN)python -m benchmarks.recall --peer $(PEERS)/clip_benchmark
	$(RUN)python -m benchmarks.loader
	$(RUN)python -m benchmarks.train
	$(RUN)python -m benchmarks.table --plot docs/benchmark.png

scores: $(STAMP)  ## what the translators are worth against measured infrared; about an hour
	$(RUN)python -m benchmarks.translators
	$(RUN)python -m benchmarks.unseen
	$(RUN)python -m benchmarks.second_witness

ablation: demo  ## what infrared and its captions are worth to models that learn from the demo; an hour and a half
	$(RUN)python -m train.ablation --data demo/release/fusionrs --arch train/configs/tiny-64.json --batch-size 64 --steps 300 --out runs/ablation
	$(RUN)python -m train.caption_ablation --data demo/release/fusionrs --steps 2000 --out runs/captions

gpu: $(STAMP)  ## the checks that need a GPU, and the training of the translators that come with the package
	$(RUN)python -m benchmarks.translate --device cuda --images 4096
	$(RUN)python -m benchmarks.training --device cuda
	$(RUN)python -m benchmarks.train --device cuda --arch ViT-B-32 --batch 2048 --records 20000
	$(RUN)python -m benchmarks.shipped nir-small --device cuda --install
	$(RUN)python -m benchmarks.shipped lwir-small --device cuda --install
	$(RUN)python -m benchmarks.translators --device cuda

torture: $(STAMP)  ## kill each command at 20 random moments (the tests do it 3 times)
	FUSIONRS_KILLS=20 $(RUN)python -m pytest -s tests/e2e/test_torture.py
	FUSIONRS_KILLS=10 FUSIONRS_RECORDS=2000 $(RUN)python -m pytest -s tests/e2e/test_caption_torture.py
	FUSIONRS_KILLS=10 $(RUN)python -m pytest -s tests/e2e/test_push_torture.py

format: $(STAMP)
	$(RUN)ruff check --fix .
	$(RUN)ruff format .

clean:  ## everything that was made, the environment too
	rm -rf $(VENV) $(PEERS) demo dist build .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache

$(STAMP): pyproject.toml
	test -x $(RUN)python || $(PYTHON) -m venv $(VENV)
	$(RUN)python -m pip install --quiet --upgrade "pip>=25"
	$(RUN)python -m pip install --quiet --editable ".[dev]"
	touch $@

$(PEER):  ## what download is measured against, in an environment of its own: it wants older libraries
	$(PYTHON) -m venv $(PEERS)/img2dataset
	$(PEERS)/img2dataset/bin/pip install --quiet img2dataset

$(DISTILABEL):  ## what captions by a model are measured against; its image models import two packages it does not ask for
	$(PYTHON) -m venv $(PEERS)/distilabel
	$(PEERS)/distilabel/bin/pip install --quiet "distilabel[openai]" "openai<3" requests beautifulsoup4

$(DATASETS3):  ## for the loading script: the last `datasets` that runs one, and the client of the Hub of its time
	$(PYTHON) -m venv $(PEERS)/datasets3
	$(PEERS)/datasets3/bin/pip install --quiet "datasets==3.6.0" "huggingface_hub<1" pillow

$(CLIP_BENCHMARK): $(STAMP)  ## what recall is measured against; on the project's own torch
	$(RUN)pip install --quiet --no-deps --target $(PEERS)/clip_benchmark clip-benchmark==1.6.2
