"""What Prepare lets tokenizers learn from."""

import shutil
from collections.abc import Iterable
from pathlib import Path

import emprot_plugins.prepare.prepare  # noqa: F401  registers the job
import numpy as np
import pytest
from preparing import FrameParity, prepare, run, write_files

from emprot_core import registry
from emprot_core.contracts import Structure
from emprot_core.data.store import TrajectoryStore
from emprot_core.data.windows import SPAN_DTYPE


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return write_files(tmp_path)


def test_tokenizers_learn_from_the_first_frames_of_the_chosen_trajectories_alone(files: Path) -> None:
    tokenizer = FrameParity()
    run(prepare(files, tokenizer, fit_on=["apo/*"], fit_fraction=0.7))
    assert tokenizer.fitted_on == [(7, 3), (3, 3)]


class Framewise(FrameParity):
    """Remembers which frames it was fitted on."""

    def fit(self, structures: Iterable[Structure]) -> None:
        self.seen = [(s.group, s.coordinates[:, 0, 0, 0].astype(int).tolist()) for s in structures]


def test_with_a_split_tokenizers_learn_from_its_training_frames_alone(files: Path) -> None:
    by_time, by_group = Framewise(), Framewise()
    split = registry.get("split", "ByTime")(train=0.5, validation=0.2, test=0.3)
    run(prepare(files, by_time, fit_on=["apo/*"], fit_fraction=1.0, split=split))
    assert by_time.seen == [("apo/r1", [0, 1, 2, 3, 4]), ("apo/r2", [0, 1])]
    shutil.rmtree(files.parent / "out")
    split = registry.get("split", "ByGroup")(test=["apo/r1"], validation=["apo/r2"])
    run(prepare(files, by_group, fit_on=["*"], fit_fraction=0.6, split=split))
    assert by_group.seen == [("holo/r1", [0, 1, 2])]


def test_a_split_that_holds_out_all_that_is_to_be_learnt_from_is_refused(files: Path) -> None:
    split = registry.get("split", "ByGroup")(test=["apo/r1"], validation=0.0)
    with pytest.raises(ValueError, match=r"fit_on = \['apo/r1'\] leaves no frame to learn from"):
        run(prepare(files, fit_on=["apo/r1"], split=split))


class LastButOne:
    """Trains on the last trajectory but one: which that is changes when one is skipped."""

    def spans(self, index: np.ndarray) -> dict[str, np.ndarray]:
        row = len(index) - 2
        return {"train": np.array([(row, 0, 2)], SPAN_DTYPE)}


def test_a_split_that_changed_after_learning_is_refused(files: Path) -> None:
    (files / "zeta.txt").write_text("5 10")  # can be read, but not encoded
    (files / "eta.txt").write_text("5 3")
    job = prepare(files, fit_on=["*"], split=LastButOne(), on_error="skip")
    with pytest.raises(ValueError, match=r"learnt from frames of holo/r1 that the split holds out now"):
        run(job)


def test_nothing_is_learnt_unless_asked_for(files: Path) -> None:
    tokenizer = FrameParity()
    run(prepare(files, tokenizer))
    assert tokenizer.fitted_on == []


def test_a_trajectory_that_cannot_be_learnt_from_is_skipped_too(files: Path) -> None:
    (files / "holo" / "r1.txt").write_text("")
    tokenizer = FrameParity()
    run(prepare(files, tokenizer, on_error="skip", fit_on=["*"], fit_fraction=1.0))
    assert tokenizer.fitted_on == [(10, 3), (4, 3)]
    assert TrajectoryStore(files.parent / "out" / "parity").index["name"].tolist() == ["apo/r1", "apo/r2"]
