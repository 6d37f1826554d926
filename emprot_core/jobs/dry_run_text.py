"""What --dry_run prints."""

from pathlib import Path

from emprot_core.jobs.dry_run import TIMED, DryRun

_CHECKPOINTS = 5  # the newest two, the best, and what is being written


def format_dry_run(found: DryRun, directory: Path) -> str:
    """What --dry_run prints."""
    training, validations = found.steps * found.seconds_a_step, found.validations * found.seconds_a_validation
    lines = [
        f"parameters   {found.num_parameters:,}",
        f"step         {found.seconds_a_step:.3g} s, the median of {TIMED}; {found.steps_an_epoch} an epoch, "
        f"{found.steps} in all",
        f"epoch        {_duration(found.steps_an_epoch * found.seconds_a_step)}",
        f"run          {_duration(found.seconds)}: start {_duration(found.seconds_to_start)}, training "
        f"{_duration(training)}, {found.validations} validations "
        f"{_duration(validations)}, baselines {_duration(found.seconds_of_baselines)}, test split "
        f"{_duration(found.seconds_of_test)}",
        f"memory       {found.peak_bytes / 1e9:.2f} GB at the most",
        f"checkpoint   {found.checkpoint_bytes / 1e6:.1f} MB each",
        f"disk         {found.free_bytes / 1e9:.1f} GB free where {directory} will lie",
    ]
    if found.free_bytes < _CHECKPOINTS * found.checkpoint_bytes:
        lines.append(f"warning: the disk has no room for {_CHECKPOINTS} checkpoints; free some, or bind run.directory")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.3g} min" if seconds < 7200 else f"{seconds / 3600:.3g} h"
