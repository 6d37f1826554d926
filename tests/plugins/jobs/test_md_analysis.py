"""A forecast from an MDAnalysis universe, beside the one from a store of the same frames."""

import warnings

import numpy as np
import pytest
from sample_structures import sample, write_as_xtc

import emprot_core
from emprot_core.cli import main
from emprot_core.data.store import TrajectoryStore
from emprot_core.errors import EmprotError

pytestmark = [
    pytest.mark.usefixtures("in_an_empty_directory"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning"),  # of MDAnalysis
]
TRAIN = [
    "--gin_file=debug.gin",
    "TrajectoryWindows.trajectories=['pbx*']",
    "NUM_RESIDUES=0",
    "Train.baselines=[]",
    "Trainer.max_steps=1",
    "run.directory=run",
]


@pytest.mark.parametrize("vocabulary", ["protein_blocks", "kmeans_environment"])
@pytest.mark.parametrize("backend", ["serial", "multiprocessing"])
def test_frames_are_encoded_and_forecast_as_from_a_store(tmp_path, vocabulary, backend) -> None:
    import MDAnalysis
    from emprot_plugins.jobs import ForecastAnalysis

    clusters = TrajectoryStore(f"sample:{vocabulary}").vocabulary.num_clusters
    assert main([*TRAIN, f"TrajectoryWindows.store=sample:{vocabulary}", f"NUM_CLUSTERS={clusters}"]) == 0
    structure = sample("pbxplore_psi")
    write_as_xtc(tmp_path, "psi", structure._replace(coordinates=structure.coordinates[:30]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = MDAnalysis.Universe(str(tmp_path / "psi.pdb"), str(tmp_path / "psi.xtc"))
        options = {"n_workers": 2} if backend == "multiprocessing" else {}
        results = ForecastAnalysis(universe.atoms, "run").run(stop=29, backend=backend, **options).results
    store = TrajectoryStore(f"sample:{vocabulary}")
    expected = np.array(store.ids(store.index["name"].tolist().index("pbxplore_psi"))[:29])
    assert (results.cluster_ids == expected).mean() > 0.99  # an XTC file holds .01 Angstrom
    forecast = emprot_core.forecast("run", results.cluster_ids)["probabilities"][0]
    known = results.cluster_ids[-1] >= 0
    assert np.array_equal(results.probabilities[:, known], forecast[:, known])
    assert np.isnan(results.change_probability[:, ~known]).all()
    last = results.cluster_ids[-1][known]
    assert results.change_probability[0, known] == pytest.approx(1 - forecast[0, known][np.arange(len(last)), last])
    assert results.residues["number"].tolist() == structure.residues["number"].tolist()


def test_classes_that_were_not_made_from_coordinates_are_refused(tmp_path) -> None:
    import MDAnalysis
    from emprot_plugins.jobs import ForecastAnalysis

    from emprot_core.contracts import Vocabulary
    from emprot_core.data.store import StoreWriter

    with StoreWriter("own", Vocabulary("own", 5, {"name": "precomputed"})) as writer:
        writer.add("t", "G", np.random.default_rng(0).integers(0, 5, (80, 6)))
    own = ["TrajectoryWindows.store=own", "TrajectoryWindows.trajectories=None", "NUM_CLUSTERS=5"]
    assert main([*TRAIN, *own]) == 0
    write_as_xtc(tmp_path, "psi", sample("pbxplore_psi")._replace(coordinates=sample("pbxplore_psi").coordinates[:2]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        universe = MDAnalysis.Universe(str(tmp_path / "psi.pdb"))
    with pytest.raises(EmprotError, match="cannot be made from coordinates: the tokenizer is 'precomputed'"):
        ForecastAnalysis(universe.atoms, "run")
