"""Anybody's forecast: the windows it has to be about, the file that holds it, its scores, and what is refused."""

import json
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from places import ROOT
from run_commands import DEBUG, bind, result

from emprot_core.cli import main
from emprot_core.evaluation.forecast_format import write_forecast
from emprot_core.jobs.judging import fitted
from emprot_core.jobs.load import StoredRun

SHORT = bind("Train.baselines=[@baselines.markov(), @baselines.interpolated()]", "Trainer.max_steps=2")


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> tuple[Path, dict, dict[str, np.ndarray]]:
    """A run, the specs of its windows, and what `interpolated` forecasts for them."""
    folder = tmp_path_factory.mktemp("forecasts")
    directory = str(folder / "run")
    assert main([DEBUG, *SHORT, f"run.directory={directory}"]) == 0
    run = StoredRun(directory)
    data = run.data()
    (interpolated,) = (each for each in fitted(run, None, data) if each.name == "interpolated")
    (batch,) = data.all_windows("test")  # seven windows are one batch
    parts = [interpolated.probabilities(batch, h) for h in range(1, 5)]
    trajectories = [each.trajectory for each in data.split_contents("test")]
    place, last_frame = data.places("test", batch["window_ids"].numpy())
    arrays = {
        "trajectory": np.array(trajectories)[place],
        "last_frame": last_frame,
        "probabilities": np.stack(parts, axis=1).astype(np.float32),
    }
    return Path(directory), _specs(directory), arrays


def _specs(directory: str) -> dict:
    with redirect_stdout(StringIO()) as text:
        assert main(["--specs", directory]) == 0
    return json.loads(text.getvalue())


def judge(run: Path, output: Path, *arguments: str) -> int:
    return main(
        [
            "--gin_file=evaluate.gin",
            f"Evaluate.run={run}",
            f"Evaluate.output={output}",
            "Evaluate.scores=[]",
            *arguments,
        ]
    )


def test_the_specs_name_the_windows_and_how_a_forecast_of_them_looks(exported) -> None:
    _, specs, arrays = exported
    assert (specs["num_clusters"], specs["future_horizon"], specs["split"]) == (256, 4, "test")
    assert specs["windows"]["last_frame"] == arrays["last_frame"].tolist()
    assert specs["windows"]["trajectory"] == arrays["trajectory"].tolist()
    assert set(specs["windows"]["num_residues"]) == {302}
    assert set(specs["axes"]) == {"trajectory", "last_frame", "probabilities", "classes"}


def test_an_exported_baseline_scores_as_its_own_row(exported, tmp_path, capsys) -> None:
    run, specs, arrays = exported
    write_forecast(tmp_path / "copied.npz", **arrays, windows_digest=specs["windows_digest"])
    assert judge(run, tmp_path, f"Evaluate.forecasts={tmp_path / 'copied.npz'}") == 0
    record = json.loads((tmp_path / "evaluation.json").read_text())
    own, copied = record["baselines"]["interpolated"], record["forecasts"]["copied"]["model"]
    assert copied["nll_bits"] == pytest.approx(own["nll_bits"], abs=1e-6)
    assert copied["accuracy"] == pytest.approx(own["accuracy"], abs=2e-3)  # float32 makes ties
    assert record["forecasts"]["copied"]["verdict"] == "undecided"
    assert record["forecasts"]["copied"]["gains"]["markov"]["bits"][0] == pytest.approx(
        record["baselines"]["markov"]["nll_bits"][0] - own["nll_bits"][0]
    )
    assert {key: record[key] for key in ("model", "baselines", "gains", "verdict")} == {
        key: result(str(run))["test"][key] for key in ("model", "baselines", "gains", "verdict")
    }
    shown = capsys.readouterr().err
    assert "gain of copied over interpolated" in shown
    assert "\ncopied: verdict: undecided" in shown


def test_the_example_of_the_docs_writes_a_forecast_that_can_be_judged(exported, tmp_path, monkeypatch) -> None:
    run, specs, _ = exported
    monkeypatch.chdir(tmp_path)
    Path("specs.json").write_text(json.dumps(specs))
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "judging.md").read_text(), re.DOTALL)
    exec(example, {})
    assert judge(run, tmp_path, "Evaluate.forecasts=keep.npz") == 0
    record = json.loads(Path("evaluation.json").read_text())
    assert 6 < record["forecasts"]["keep"]["model"]["nll_bits"][0] < 7


def test_rows_are_found_by_trajectory_and_frame_in_any_order(exported, tmp_path) -> None:
    run, specs, arrays = exported
    turned = {name: array[::-1] for name, array in arrays.items()}
    write_forecast(tmp_path / "turned.npz", **turned, windows_digest=specs["windows_digest"])
    assert judge(run, tmp_path, f"Evaluate.forecasts={tmp_path / 'turned.npz'}") == 0
    record = json.loads((tmp_path / "evaluation.json").read_text())
    assert record["forecasts"]["turned"]["model"]["nll_bits"] == pytest.approx(
        record["baselines"]["interpolated"]["nll_bits"], abs=1e-6
    )


def test_the_most_probable_classes_are_enough_and_the_others_share_the_rest(exported, tmp_path) -> None:
    run, specs, arrays = exported
    probabilities = arrays["probabilities"]
    classes = np.argsort(-probabilities, axis=-1)[..., :200]
    kept = np.take_along_axis(probabilities, classes, axis=-1)
    few = {**arrays, "probabilities": kept, "classes": classes}
    write_forecast(tmp_path / "few.npz", **few, windows_digest=specs["windows_digest"])
    write_forecast(
        tmp_path / "spread.npz",
        **{**arrays, "probabilities": _spread(probabilities, classes, kept)},
        windows_digest=specs["windows_digest"],
    )
    files = [str(tmp_path / "few.npz"), str(tmp_path / "spread.npz")]
    assert judge(run, tmp_path, f"Evaluate.forecasts={files}") == 0
    forecasts = json.loads((tmp_path / "evaluation.json").read_text())["forecasts"]
    assert forecasts["few"]["model"]["nll_bits"] == pytest.approx(forecasts["spread"]["model"]["nll_bits"], abs=1e-5)


def _spread(probabilities: np.ndarray, classes: np.ndarray, kept: np.ndarray) -> np.ndarray:
    whole = np.broadcast_to((1 - kept.sum(-1, keepdims=True)) / 56, probabilities.shape).copy()
    np.put_along_axis(whole, classes, kept, axis=-1)
    return whole


def without_a_window(arrays: dict) -> dict:
    return {name: array[1:] for name, array in arrays.items()}


def with_a_foreign_window(arrays: dict) -> dict:
    more = {"trajectory": np.array(["stranger"]), "last_frame": np.array([7]), "probabilities": arrays["probabilities"]}
    return {name: np.concatenate([array, more[name][:1]]) for name, array in arrays.items()}


def with_a_window_twice(arrays: dict) -> dict:
    return {name: np.concatenate([array, array[:1]]) for name, array in arrays.items()}


def with_a_row_of_nine_tenths(arrays: dict) -> dict:
    changed = arrays["probabilities"].copy()
    changed[1, 2, 17] *= 0.9
    return {**arrays, "probabilities": changed}


def with_a_negative_probability(arrays: dict) -> dict:
    changed = arrays["probabilities"].copy()
    changed[1, 2, 17, :2] += np.array([-1, 1], np.float32)
    return {**arrays, "probabilities": changed}


def with_a_residue_absent(arrays: dict) -> dict:
    changed = arrays["probabilities"].copy()
    changed[1, 2, 17] = np.nan
    return {**arrays, "probabilities": changed}


def with_the_target_impossible(arrays: dict) -> dict:
    changed = np.zeros_like(arrays["probabilities"])
    changed[..., 255] = 1
    return {**arrays, "probabilities": changed}


def with_another_horizon(arrays: dict) -> dict:
    return {**arrays, "probabilities": arrays["probabilities"][:, :3]}


def with_other_classes(arrays: dict) -> dict:
    return {**arrays, "probabilities": arrays["probabilities"][..., :255]}


REFUSED = {
    without_a_window: "lacks 1 windows: prolif_5ht1b at frame {first}",
    with_a_foreign_window: "has foreign rows, about 1 windows: stranger at frame 7",
    with_a_window_twice: "has 1 windows twice",
    with_a_row_of_nine_tenths: "prolif_5ht1b at frame {second}, h=3, residue 17: the probabilities add up to 0.9",
    with_a_negative_probability: "prolif_5ht1b at frame {second}, h=3, residue 17",
    with_a_residue_absent: "h=3, residue 17: the probabilities add up to nan",
    with_the_target_impossible: "the class that came has probability 0",
    with_another_horizon: "expected (W, F, N, C) with F = 4",
    with_other_classes: "with C = 256",
}


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.__name__)
def test_a_forecast_that_is_not_whole_is_refused_by_name(exported, tmp_path, capsys, change) -> None:
    run, specs, arrays = exported
    path = tmp_path / "wrong.npz"
    write_forecast(path, **change(arrays), windows_digest=specs["windows_digest"])
    assert judge(run, tmp_path / "judged", f"Evaluate.forecasts={path}") == 1
    first, second = arrays["last_frame"][:2]
    assert REFUSED[change].format(first=first, second=second) in capsys.readouterr().err
    assert not (tmp_path / "judged").exists()


def test_a_forecast_of_other_targets_or_a_damaged_file_is_refused(exported, tmp_path, capsys) -> None:
    run, _, arrays = exported
    write_forecast(tmp_path / "other.npz", **arrays, windows_digest="0" * 64)
    assert judge(run, tmp_path / "judged", f"Evaluate.forecasts={tmp_path / 'other.npz'}") == 1
    assert "other.json speaks of other windows" in capsys.readouterr().err
    (tmp_path / "torn.npz").write_bytes((tmp_path / "other.npz").read_bytes()[:1000])
    assert judge(run, tmp_path / "judged", f"Evaluate.forecasts={tmp_path / 'torn.npz'}") == 1
    assert "torn.npz cannot be read as a forecast" in capsys.readouterr().err
    assert judge(run, tmp_path / "judged", f"Evaluate.forecasts={tmp_path / 'none.npz'}") == 1
    assert "there is no file" in capsys.readouterr().err
