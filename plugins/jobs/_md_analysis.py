"""A forecast from coordinates in MDAnalysis (extra `md`). Not imported with the plugins: MDAnalysis takes a second."""

import inspect
from pathlib import Path
from typing import Any

import numpy as np
from MDAnalysis.analysis.base import AnalysisBase
from MDAnalysis.analysis.results import ResultsGroup

import emprot_core.jobs.python
from emprot_core import registry
from emprot_core.contracts import Structure, Tokenizer
from emprot_core.data.store import CLASS_IDS
from emprot_core.errors import EmprotError
from emprot_core.jobs.load import StoredRun

from .forecast_windows import store_of


class ForecastAnalysis(AnalysisBase):  # type: ignore[misc]  # MDAnalysis has no types
    """What a trained model expects after the frames that were analysed.

        analysis = ForecastAnalysis(universe.atoms, "runs/base").run(step=5)
        analysis.results.change_probability

    The frames are encoded by the tokenizer of the run's store, in parallel with backend="multiprocessing". They have to
    be as far apart as those of the training.

    Results:
        cluster_ids (frames, N); residues (N,) of contracts.RESIDUE_DTYPE; probabilities (F, N, C), and
        change_probability (F, N), for the F frames after the last one. NaN where the last ID is missing.
    """

    _analysis_algorithm_is_parallelizable = True

    @classmethod
    def get_supported_backends(cls) -> tuple[str, ...]:
        return ("serial", "multiprocessing")

    def __init__(self, atoms: Any, run: str | Path, **options: Any):
        """
        Args:
            atoms: an AtomGroup with the protein.
            run: the directory of a trained run.
            options: of AnalysisBase.

        Raises:
            EmprotError: the classes of the run were not made from coordinates, or were renumbered; or a residue lacks
                backbone atoms.
        """
        super().__init__(atoms.universe.trajectory, **options)
        self.run_directory = str(run)
        self.tokenizer = _tokenizer_of(StoredRun(run))
        self.residues, self._indices, _ = registry.get("reader", "md").backbone_of(atoms, "refuse")  # type: ignore[attr-defined]
        self._atoms = atoms.universe.atoms

    def _prepare(self) -> None:
        self.results.backbone = []

    def _single_frame(self) -> None:
        self.results.backbone.append(self._atoms.positions[self._indices].astype(np.float32))

    def _get_aggregator(self) -> ResultsGroup:
        return ResultsGroup(lookup={"backbone": ResultsGroup.flatten_sequence})

    def _conclude(self) -> None:
        coordinates = np.stack(self.results.backbone)
        bonded = np.linalg.norm(coordinates[0, 1:, 0] - coordinates[0, :-1, 2], axis=-1) <= 2.0
        segments = np.concatenate([[0], np.cumsum(~bonded)]).astype(np.int32)
        ids = self.tokenizer.encode(Structure(coordinates, segments, self.residues))
        forecast = emprot_core.jobs.python.forecast(self.run_directory, ids)
        probabilities = forecast["probabilities"][0]
        stays = np.take_along_axis(probabilities, np.maximum(ids[-1], 0)[None, :, None], axis=-1)[..., 0]
        self.results.cluster_ids, self.results.residues = ids, self.residues
        self.results.probabilities = np.where(ids[-1][:, None] >= 0, probabilities, np.nan)
        self.results.change_probability = np.where(ids[-1] >= 0, 1 - stays, np.nan)


def _tokenizer_of(run: StoredRun) -> Tokenizer:
    """The tokenizer that made the classes of a run, built again from what its store says."""
    store = store_of(run.data())
    source = getattr(store, "stores", [store])[0]
    described = dict(store.vocabulary.tokenizer)
    name = described.get("name", "")
    if f"{CLASS_IDS}.npy" in source.vocabulary_arrays or name in ("", "precomputed"):
        raise EmprotError(
            f"the classes of {run.directory} cannot be made from coordinates: the tokenizer is {name or 'unknown'!r}"
        )
    target = registry.get("tokenizer", name)
    known = {**described, "num_clusters": store.vocabulary.num_clusters, "centroids": str(source.directory)}
    return target(**{key: known[key] for key in inspect.signature(target).parameters if key in known})
