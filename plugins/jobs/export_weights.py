"""The job that writes a trained model for other programs: its weights, and its graph."""

import json
import logging
from pathlib import Path
from typing import Any

import torch

from emprot_core.batch import model_inputs
from emprot_core.data.past_batch import batch_before
from emprot_core.errors import EmprotError
from emprot_core.files import write_atomically, written_atomically
from emprot_core.jobs.context import RunContext
from emprot_core.jobs.load import StoredRun
from emprot_core.registry import register

_log = logging.getLogger("emprot")


@register("job")
class ExportWeights:
    """Writes the best weights of a run as weights.safetensors, and its model by torch.export as model.pt2.

    The graph takes input_cluster_ids (1, T, N) long, times (1, T) float, sequence_lengths (1,) long and history_mask
    (1, T, N) bool, of T and N that export.json names, and gives the outputs of the model. A model whose tensors have
    sizes that depend on the IDs, such as GatedExperts, has no graph, which is told.
    """

    def __init__(self, run: str, output: str | None = None, num_residues: int = 0):
        """
        Args:
            run: the directory of a trained run.
            output: the folder to write into; None means <run>/export.
            num_residues: N of the graph; 0 takes that of the first test window.

        Raises:
            EmprotError: num_residues is negative.
        """
        if num_residues < 0:
            raise EmprotError(f"ExportWeights.num_residues is {num_residues}, expected 0 or more")
        self._directory, self._num_residues = run, num_residues
        self._output = Path(run) / "export" if output is None else Path(output)

    def run(self, context: RunContext) -> None:
        """
        Raises:
            ModuleNotFoundError: safetensors is not installed.
            EmprotError: there is no such run.
        """
        try:
            from safetensors.torch import save
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError("ExportWeights needs safetensors; pip install 'emprot[export]'") from error
        run = StoredRun(self._directory)
        model: Any = run.model()
        residues = self._num_residues or int(next(iter(run.data().all_windows("test")))["sequence_lengths"][0])
        ids = torch.zeros(run.input_frames, residues, dtype=torch.long).numpy()
        inputs = model_inputs(batch_before([ids], [len(ids) - 1], run.input_frames, model.future_horizon))
        weights = {name: tensor.contiguous().clone() for name, tensor in model.state_dict().items()}
        facts = {
            "run": self._directory,
            "step": run.state["step"],
            "model": type(model).__name__,
            "num_clusters": model.num_clusters,
            "future_horizon": model.future_horizon,
            "input_frames": run.input_frames,
            "num_residues": residues,
        }
        write_atomically(self._output / "weights.safetensors", save(weights, {k: str(v) for k, v in facts.items()}))
        try:
            with torch.no_grad():
                graph = torch.export.export(model, inputs, strict=False)
            with written_atomically(self._output / "model.pt2") as file:
                torch.export.save(graph, file)
        except RuntimeError as error:  # the sizes of some tensors depend on the IDs, of which torch makes no graph
            reason = str(error).strip().partition("\n")[0]
            _log.warning("no model.pt2: torch.export has no graph for %s (%s)", type(model).__name__, reason)
        write_atomically(self._output / "export.json", f"{json.dumps(facts, indent=1)}\n".encode())
        _log.info("weights and graph of %s (step %d): %s", self._directory, facts["step"], self._output)
