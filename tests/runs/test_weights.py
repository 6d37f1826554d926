"""Weights that leave a run: as a start for another one, and for other programs."""

import json
import re
from pathlib import Path

import pytest
import torch
from run_commands import DEBUG, bind, weights

import emprot_core
from emprot_core.batch import model_inputs
from emprot_core.cli import main
from emprot_core.jobs.load import StoredRun

pytestmark = pytest.mark.usefixtures("in_an_empty_directory")
SHORT = [DEBUG, *bind("Train.baselines=[]", "Trainer.max_steps=2")]
STILL = ["cosine_with_warmup.min_lr=0.0", "adamw.learning_rate=0.0", "Trainer.max_steps=1"]


def test_a_run_starts_with_the_best_weights_of_another(capsys) -> None:
    assert main(SHORT) == 0
    assert main([*SHORT, "run.directory=next", "run.init_from=runs/debug", *STILL]) == 0
    told = re.search(r"weights from runs/debug: (\d+) of (\d+) taken", capsys.readouterr().err)
    assert told is not None
    assert told[1] == told[2]
    assert torch.equal(weights("next"), weights("runs/debug", "best.pt"))


def test_from_another_vocabulary_what_fits_is_taken_and_the_rest_is_listed(capsys) -> None:
    assert main(SHORT) == 0
    other = ["TrajectoryWindows.store=sample:threedi", "NUM_CLUSTERS=20", "run.directory=next", *STILL]
    capsys.readouterr()
    assert main([*SHORT, *other, "run.init_from=runs/debug"]) == 0
    told = capsys.readouterr().err
    assert "new, as they have another size there or are not there: " in told
    assert "(21, 16), there (257, 16)" in told
    first, second = (StoredRun(run).model().state_dict() for run in ("runs/debug", "next"))
    same = [name for name in first if first[name].shape == second[name].shape]
    assert len(same) < len(first)
    assert all(torch.equal(first[name], second[name]) for name in same)


def test_a_model_of_another_kind_is_refused_and_so_is_no_run(capsys) -> None:
    assert main(SHORT) == 0
    gates = ["--gin_file=gates.gin", *bind("Train.baselines=[]", "Trainer.max_steps=1"), "run.directory=gates"]
    assert main([*gates, "run.init_from=runs/debug"]) == 2
    assert "fits GatedExperts" in capsys.readouterr().err
    assert main([*SHORT, "run.directory=next", "run.init_from=none"]) == 1
    assert "none" in capsys.readouterr().err


def test_exported_weights_and_graph_give_what_the_model_gives() -> None:
    from safetensors.torch import load_file

    assert main(SHORT) == 0
    assert main(["--export_weights", "runs/debug"]) == 0
    model, _, _ = emprot_core.load_run("runs/debug")
    read = load_file("runs/debug/export/weights.safetensors")
    assert read.keys() == model.state_dict().keys()
    assert all(torch.equal(tensor, read[name]) for name, tensor in model.state_dict().items())
    facts = json.loads(Path("runs/debug/export/export.json").read_text())
    assert (facts["num_residues"], facts["input_frames"], facts["step"]) == (302, 210, 2)
    graph = torch.export.load("runs/debug/export/model.pt2").module()
    batch = next(iter(StoredRun("runs/debug").data().all_windows("test")))
    one = model_inputs({key: value[:1] for key, value in batch.items()})
    with torch.no_grad():
        torch.testing.assert_close(graph(*one)["cluster_logits"], model(*one)["cluster_logits"], rtol=1e-4, atol=1e-4)


def test_a_model_without_a_graph_gives_its_weights_and_says_so(capsys) -> None:
    assert (
        main(["--gin_file=gates.gin", *bind("Train.baselines=[]", "Trainer.max_steps=1"), "run.directory=gates"]) == 0
    )
    assert main(["--export_weights", "gates"]) == 0
    assert "no model.pt2: torch.export has no graph for GatedExperts" in capsys.readouterr().err
    assert sorted(path.name for path in Path("gates/export").iterdir()) == ["export.json", "weights.safetensors"]
