import pytest
import torch

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate import snapshot


def test_what_was_saved_is_loaded(tmp_path):
    assert snapshot.load(tmp_path, "k") is None
    for step in (1, 2):
        snapshot.save(tmp_path, "k", {"step": step, "weights": {"a": torch.arange(3)}, "score": -float("inf")})
    state = snapshot.load(tmp_path, "k")
    assert (state["step"], state["weights"]["a"].tolist(), state["score"]) == (2, [0, 1, 2], -float("inf"))
    assert [path.name for path in tmp_path.iterdir()] == [snapshot.STATE]


def test_another_recipe_and_damage_are_refused(tmp_path):
    snapshot.save(tmp_path, "k", {"step": 1})
    with pytest.raises(UsageError, match="of another recipe or of other data"):
        snapshot.load(tmp_path, "other")
    path = tmp_path / snapshot.STATE
    for data in (path.read_bytes()[:100], b"", b"nonsense"):
        path.write_bytes(data)
        with pytest.raises(FusionError, match=r"state.pt is damaged, .*: delete it to begin anew"):
            snapshot.load(tmp_path, "k")


class Code:
    def __reduce__(self):
        return print, ("code was run",)


def test_code_is_not_run(tmp_path, capsys):
    torch.save({"key": "k", "state": {"step": Code()}}, tmp_path / snapshot.STATE)
    with pytest.raises(FusionError, match="is damaged"):
        snapshot.load(tmp_path, "k")
    assert "code was run" not in capsys.readouterr().out


def test_history_ends_at_the_step_that_is_gone_on_from(tmp_path):
    path = tmp_path / "history.jsonl"
    assert snapshot.history(path, 10) == []
    for step in (10, 20, 30):
        snapshot.append(path, {"step": step, "losses": {"a": 1.5}})
    with path.open("a") as sink:
        sink.write('{"step": 40, "los')
    assert [line["step"] for line in snapshot.history(path, 20)] == [10, 20]
    assert len(path.read_text().splitlines()) == 2
    snapshot.append(path, {"step": 30})
    assert [line["step"] for line in snapshot.history(path, 30)] == [10, 20, 30]
