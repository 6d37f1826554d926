"""Anybody's forecast as a forecaster of batches: a file of forecast_format, held against the windows of a split."""

from pathlib import Path

import numpy as np

from emprot_core.batch import Batch, target_mask
from emprot_core.contracts import Data, Prediction, Split
from emprot_core.errors import EmprotError
from emprot_core.evaluation.forecast_format import digest_beside, read_forecast
from emprot_core.evaluation.scored_windows import names_and_frames, scored_windows
from emprot_core.words import first_of

_TOLERANCE = 1e-3  # of the sum of a row


class ForecastFile:
    """A forecast that is judged like a model, with a probability for every class. Its name is that of the file."""

    def __init__(self, path: str | Path, data: Data, split: Split):
        """
        Raises:
            EmprotError: the file cannot be read, or is not about the windows of the split: one is missing, foreign or
                there twice, or a row is no distribution. The message names it.
        """
        self.path, self._data, self._split = Path(path), data, split
        self.name = self.path.stem
        self._num_clusters = data.vocabulary.num_clusters
        arrays = read_forecast(self.path, self._num_clusters)
        self._probabilities, self._classes = arrays["probabilities"], arrays.get("classes")
        self._place = {
            key: row
            for row, key in enumerate(zip(arrays["trajectory"].tolist(), arrays["last_frame"].tolist(), strict=True))
        }
        self._check_windows(len(arrays["trajectory"]))
        for batch in data.all_windows(split):
            self._check_rows(batch)

    def predict(self, batch: Batch) -> Prediction:
        """The forecast at the valid targets of a batch.

        Raises:
            EmprotError: what happened has probability 0, so that the NLL would be infinite.
        """
        mask, targets = target_mask(batch).numpy(), batch["future_cluster_ids"].numpy()
        predicted, nll = np.zeros(targets.shape, np.int64), np.zeros(targets.shape)
        for step in range(targets.shape[1]):
            chosen = self.probabilities(batch, step + 1)[mask[:, step]]
            of_target = chosen[np.arange(len(chosen)), targets[:, step][mask[:, step]]].astype(np.float64)
            if not of_target.all():
                window, residue = (int(place[of_target.argmin()]) for place in np.nonzero(mask[:, step]))
                raise EmprotError(
                    f"{self._place_of(batch, window, step, residue)}: the class that came has probability 0, so that "
                    "the NLL is infinite; mix a small share of the class frequencies into the forecast"
                )
            predicted[:, step][mask[:, step]] = chosen.argmax(axis=-1)
            nll[:, step][mask[:, step]] = -np.log(of_target)
        return Prediction(predicted, nll)

    def probabilities(self, batch: Batch, horizon: int) -> np.ndarray:
        """(B, N, C) float32: p(y) of every residue, `horizon` frames after the last input frame."""
        rows, num_residues = self._rows(batch), batch["residue_mask"].shape[1]
        given = self._probabilities[rows, horizon - 1, :num_residues]
        if self._classes is None:
            return given
        kept = given.sum(axis=-1, keepdims=True)
        others = (1 - kept) / max(1, self._num_clusters - given.shape[-1])
        whole = np.repeat(np.maximum(others, 0), self._num_clusters, axis=-1)
        np.put_along_axis(whole, self._classes[rows, horizon - 1, :num_residues].astype(np.int64), given, axis=-1)
        return whole

    def _rows(self, batch: Batch) -> list[int]:
        names, frames = names_and_frames(self._data, self._split, batch["window_ids"].numpy())
        # A window without a target may be absent: any row serves for it.
        return [self._place.get(key, 0) for key in zip(names.tolist(), frames.tolist(), strict=True)]

    def _check_windows(self, num_rows: int) -> None:
        wanted = scored_windows(self._data, self._split)
        keys = list(zip(wanted.trajectory.tolist(), wanted.last_frame.tolist(), strict=True))
        everything = names_and_frames(self._data, self._split, np.arange(self._data.num_windows(self._split)))
        known = set(zip(*(column.tolist() for column in everything), strict=True))
        missing = [_window(key) for key in keys if key not in self._place]
        foreign = [_window(key) for key in self._place if key not in known]
        for what, found in (("lacks", missing), ("has foreign rows, about", foreign)):
            if found:
                raise EmprotError(
                    f"{self.path} {what} {len(found)} windows: {first_of(found)}; it must be about the windows of the "
                    f"{self._split} split alone, which emprot-run --specs RUN lists"
                )
        if num_rows > len(self._place):
            raise EmprotError(f"{self.path} has {num_rows - len(self._place)} windows twice; give each once")
        digest = digest_beside(self.path)
        if digest and digest != wanted.digest:
            raise EmprotError(
                f"{self.path.with_suffix('.json')} speaks of other windows (digest {digest[:12]}, expected "
                f"{wanted.digest[:12]}): the targets differ; make the forecast from the store of this run"
            )

    def _check_rows(self, batch: Batch) -> None:
        mask = target_mask(batch).numpy()
        rows, num_residues = self._rows(batch), mask.shape[2]
        if num_residues > self._probabilities.shape[2] or mask.shape[1] != self._probabilities.shape[1]:
            raise EmprotError(
                f"{self.path}: probabilities have the shape {self._probabilities.shape}, expected (W, F, N, C) with "
                f"F = {mask.shape[1]} and N = {num_residues} or more"
            )
        given = self._probabilities[rows][:, :, :num_residues]
        sums = given.sum(axis=-1, dtype=np.float64)
        is_right = np.abs(sums - 1) <= _TOLERANCE if self._classes is None else sums <= 1 + _TOLERANCE
        wrong = mask & ~(is_right & (given >= 0).all(axis=-1))
        if wrong.any():
            window, step, residue = (int(place[0]) for place in np.nonzero(wrong))
            raise EmprotError(
                f"{self._place_of(batch, window, step, residue)}: the probabilities add up to "
                f"{sums[window, step, residue]:.4g}, expected 1, and none below 0; normalise each row"
            )

    def _place_of(self, batch: Batch, window: int, step: int, residue: int) -> str:
        names, frames = names_and_frames(self._data, self._split, batch["window_ids"].numpy()[[window]])
        return f"{self.path}: {_window((names[0], frames[0]))}, h={step + 1}, residue {residue}"


def _window(key: tuple[str, int]) -> str:
    return f"{key[0]} at frame {key[1]}"
