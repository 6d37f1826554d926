"""Shows frames and tokens per second while trajectories are encoded."""

import time
from collections.abc import Iterable, Iterator

from tqdm import tqdm

from .parts import Part

Encoded = tuple[str, Part | ValueError]
"""A trajectory's name, and its part or the error that it gave."""


def with_progress(encoded: Iterable[Encoded], total: int, num_done: int) -> Iterator[Encoded]:
    """Yield the same items and show a bar on a terminal: `total` trajectories, `num_done` of them done before."""
    num_frames, num_tokens, started = 0, 0, time.perf_counter()
    with tqdm(total=total, initial=num_done, unit=" trajectory", disable=None) as bar:
        for name, result in encoded:
            if isinstance(result, Part):
                num_frames += result.num_frames
                num_tokens += result.num_frames * result.num_residues
            spent_s = time.perf_counter() - started
            rates = f"{num_frames / spent_s:.0f} frames/s, {num_tokens / spent_s:.0f} tokens/s"
            bar.set_postfix_str(rates, refresh=False)
            bar.update()
            yield name, result
