"""What a forecast of a run's test split has to be about, for whoever makes it elsewhere."""

from typing import Any

from emprot_core.evaluation.forecast_format import AXES
from emprot_core.evaluation.scored_windows import scored_windows
from emprot_core.jobs.load import StoredRun
from emprot_core.jobs.stores import directories_of


def specs_of(directory: str) -> dict[str, Any]:
    """The windows of a run's test split as JSON values, with the stores to read and the axes of the forecast.

    Raises:
        EmprotError: there is no run, or its data are not at hand.
    """
    run = StoredRun(directory)
    data, model = run.data(), run.model()
    windows = scored_windows(data, "test")
    return {
        "run": directory,
        "split": "test",
        "stores": directories_of(data),
        "vocabulary": data.vocabulary.name,
        "num_clusters": data.vocabulary.num_clusters,
        "future_horizon": model.future_horizon,
        "axes": AXES,
        "windows_digest": windows.digest,
        "windows": {name: getattr(windows, name).tolist() for name in ("trajectory", "last_frame", "num_residues")},
    }
