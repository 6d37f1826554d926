"""Any iterable of batches as the loader of a training."""

from emprot_core.data.iterable_steps import IterableSteps, as_step_loader


def test_steps_of_an_iterable_can_start_anywhere() -> None:
    steps = IterableSteps(list(range(7)))
    assert steps.num_steps(2) == 4
    assert list(steps.steps(0, 2, 2)) == [[4, 5], [6]]


def test_what_gives_steps_already_is_taken_as_it_is() -> None:
    steps = IterableSteps([])
    assert as_step_loader(steps) is steps
    assert isinstance(as_step_loader([1, 2]), IterableSteps)
