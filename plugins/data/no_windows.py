"""Says why a split has no windows."""

import numpy as np

from emprot_core.contracts import Split
from emprot_core.data.windows import Windows


def explain_no_windows(split: Split, windows: Windows, names: np.ndarray, num_frames: np.ndarray) -> str:
    """The message for a split without windows.

    Args:
        names: of all trajectories of the store.
        num_frames: of the trajectories in use.
    """
    spans = windows.spans[:3].tolist()
    places = ", ".join(f"[{a}, {b}) of {names[t]!s}" for t, a, b in spans) or "none"
    return (
        f"the {split} split has no windows: with a history of K={windows.history} and a horizon of "
        f"F={windows.horizon} frames, a window needs a target after K frames of its trajectory and inside a span; "
        f"got {len(num_frames)} trajectories of {num_frames.min()} to {num_frames.max()} frames, "
        f"{len(windows.spans)} spans of targets: {places}{', ...' if len(windows.spans) > 3 else ''}; "
        "lower history, or give the split more frames or trajectories"
    )
