"""The proteins that a config's data are of."""

from emprot_core.config import Config
from emprot_core.errors import EmprotError
from emprot_core.jobs.splits import describe_splits


def groups_of(config: Config) -> list[str]:
    """The groups in the splits of Train.data, sorted.

    Raises:
        EmprotError: there are fewer than two.
    """
    splits = describe_splits(config.build("Train.data"))
    groups = sorted({group for own in splits.values() for group in own})
    if len(groups) < 2:
        raise EmprotError(
            f"the data hold one protein ({', '.join(groups)}), so none can be left out; bind a store with several, or "
            "TrajectoryWindows.trajectories=None for the whole sample"
        )
    return groups
