"""Saves, damage and restarts in any sequence: what is found again is the newest state that nothing happened to."""

import shutil
import tempfile
from pathlib import Path

import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from emprot_core.checkpoint import CheckpointStore
from emprot_core.checkpoint.appended import AppendedFiles
from emprot_core.checkpoint.names import numbered

SETTINGS = settings(max_examples=25, stateful_step_count=20, deadline=None, derandomize=True, database=None)


def state(step: int) -> dict:
    return {"model_state_dict": {"w": torch.full((3,), float(step))}, "step": step, "hooks": {}, "due": []}


class Checkpoints(RuleBasedStateMachine):
    """A run that saves, loses files, and starts again."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.store = CheckpointStore(self.folder / "checkpoints")
        self.store.create()
        self.step = 0
        self.best: int | None = None
        self.whole: set[int] = set()  # steps whose file is there and was not touched
        self.damaged: set[int] = set()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    def file(self, step: int) -> Path:
        return self.store.directory / numbered("step", step)

    @rule(forward=st.integers(1, 5), is_best=st.booleans(), keep_last=st.integers(1, 3))
    def save(self, forward: int, is_best: bool, keep_last: int) -> None:
        self.step += forward
        self.best = self.step if is_best else self.best
        before = {*self.whole, *self.damaged, self.step}
        named = {self.best} if self.best in before else set()
        self.store.save(state(self.step), {"best.pt": self.best} if self.best else {}, keep_last)
        kept = {*sorted(before)[-keep_last:], *named}
        assert {step for step in before if self.file(step).exists()} == kept & {*self.whole, *self.damaged, self.step}
        self.whole = (self.whole | {self.step}) & kept
        self.damaged &= kept

    @precondition(lambda self: self.whole)
    @rule(data=st.data())
    def flip_a_bit(self, data: st.DataObject) -> None:
        step = data.draw(st.sampled_from(sorted(self.whole)))
        content = bytearray(self.file(step).read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1
        self.file(step).write_bytes(content)  # in place, so that all its names show it
        self.whole -= {step}
        self.damaged |= {step}

    @rule()
    def start_again(self) -> None:
        self.store = CheckpointStore(self.folder / "checkpoints")
        self.step = max(self.whole, default=0)
        self.store.go_on_from(self.step, due=False)
        later = {step for step in self.damaged if step > self.step}
        assert all(not self.file(step).exists() for step in later)
        self.damaged -= later
        if self.best is not None and self.best > self.step:
            self.best = None

    @invariant()
    def the_newest_whole_state_is_found(self) -> None:
        if not hasattr(self, "store"):
            return
        found = self.store.newest_valid()
        if not self.whole:
            assert found is None
            return
        assert found is not None
        assert found[1]["step"] == max(self.whole)
        assert found[1]["model_state_dict"]["w"].tolist() == [max(self.whole)] * 3

    @invariant()
    def the_best_is_what_was_named_best(self) -> None:
        if hasattr(self, "store") and self.best in self.whole and "best.pt" in self.store.names():
            assert self.store.load("best.pt")["step"] == self.best


class Appended(RuleBasedStateMachine):
    """A log that is measured at saves, and cut back to the last of them by a restart."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.files = AppendedFiles(self.folder, "log*")
        self.content: dict[str, bytes] = {}
        self.saved: dict[str, bytes] = {}
        self.measured = self.files.measure()

    def teardown(self) -> None:
        shutil.rmtree(self.folder)

    @rule(name=st.sampled_from(["log", "log-2", "log-3"]), data=st.binary(min_size=1, max_size=9))
    def append(self, name: str, data: bytes) -> None:
        with (self.folder / name).open("ab") as file:
            file.write(data)
        self.content[name] = self.content.get(name, b"") + data

    @rule()
    def save(self) -> None:
        self.measured, self.saved = self.files.measure(), dict(self.content)

    @rule()
    def start_again(self) -> None:
        self.files = AppendedFiles(self.folder, "log*")
        self.files.cut_back(self.measured)
        lost = self.content.keys() - self.saved.keys()
        aside = [path.read_bytes() for path in self.folder.glob("aside-*/*")]
        assert all(self.content[name] in aside for name in lost)
        self.content = dict(self.saved)

    @invariant()
    def the_files_are_what_they_should_be(self) -> None:
        if hasattr(self, "folder"):
            assert {path.name: path.read_bytes() for path in self.folder.glob("log*")} == self.content


TestCheckpoints = Checkpoints.TestCase
TestCheckpoints.settings = SETTINGS
TestAppended = Appended.TestCase
TestAppended.settings = SETTINGS
