import os
import subprocess
import sys
from pathlib import Path

import torch

from fusionrs_builder.translate import distributed
from tests.translate.test_train import folders

PROGRAM = """
import os, sys, torch
from pathlib import Path
from fusionrs_builder.translate.train import train
from fusionrs_builder.translate.training_data import read
from tests.translate.test_train import QUICK, replace
torch.set_num_threads(1)
data = read([sys.argv[1] + "/visible"], [sys.argv[1] + "/infrared"], "lwir", paired=True)
network, facts = train(data, replace(QUICK, steps=4), Path(sys.argv[2]))
torch.save((network.state_dict(), facts["done"]), sys.argv[2] + f"/rank-{os.environ['RANK']}.pt")
"""


def test_two_processes_train_one_network_on_twice_the_images(tmp_path):
    folders(tmp_path / "data")
    (tmp_path / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [str(tmp_path / "program.py"), str(tmp_path / "data"), str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, *arguments], check=True, env=environment, timeout=240)
    state = torch.load(tmp_path / "run" / "state.pt", weights_only=True)["state"]
    assert state["step"] == 4
    live = {}
    for rank in (0, 1):
        weights, steps = torch.load(tmp_path / "run" / f"rank-{rank}.pt", weights_only=True)
        assert steps == 4
        live[rank] = torch.cat([tensor.flatten() for tensor in weights.values()])
    # The second process has no validation to choose by: it ends with the last mean, which is the first one's too.
    last = torch.cat([tensor.flatten() for tensor in state["mean"].values()])
    assert torch.equal(live[1], last)


def test_alone_nothing_is_averaged_or_waited_for(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert distributed.start(torch.device("cpu")) == (0, 1, torch.device("cpu"))
    weight = torch.nn.Parameter(torch.ones(2))
    weight.grad = torch.full((2,), 3.0)
    distributed.average([weight], 1)
    assert weight.grad.tolist() == [3, 3]
    assert distributed.agree(True, torch.device("cpu"), 1)
    monkeypatch.setenv("RANK", "1")
    assert not distributed.is_first()
