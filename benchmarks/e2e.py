"""Whole trainings of shipped configs beside a plain script and Lightning: what a user waits for.

A plain script is written from the modules of torch, with a Dataset, a DataLoader, AdamW, clipping and a schedule; so
is what Lightning trains. For experts.gin all forms train our model. Our last layer computes the last frame alone, that
of a plain script all frames; with the one layer of axial.gin this is a tenth of the attention over residues. Every form
has a process of its own, in one thread, and its time is that of the process.
"""

import importlib
import importlib.util
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks.e2e_forms import Marks, Task, emprot, plain
from benchmarks.targets import E2E, target
from benchmarks.timing import high_water_mb, in_fresh_process, spread

CASES = {"base.gin": 6, "axial.gin": 6, "experts.gin": 3}
"""The configs, and how many epochs of each."""
OURS = "EMPROT"


def run(device: str) -> Iterator[dict[str, Any]]:
    """One record per config."""
    for name, num_epochs in CASES.items():
        yield measure(name, num_epochs, device)


def measure(name: str, num_epochs: int, device: str) -> dict[str, Any]:
    """Seconds an epoch, tokens a second, peak memory, and the time to a validation loss that all forms reach."""
    forms = [OURS, "plain script"]
    is_installed = importlib.util.find_spec("lightning") is not None
    forms += ["Lightning"] if is_installed else []
    seen = {form: in_fresh_process(train, form, name, num_epochs, device) for form in forms}
    goal = max(min(one["losses"]) for one in seen.values())
    per_epoch = {form: statistics.median(one["epochs"]) for form, one in seen.items()}
    to_goal = {form: seconds_to(one, goal) for form, one in seen.items()}
    ratios = {}
    for form in forms[1:]:
        ratios[f"{form} / {OURS}, an epoch"] = per_epoch[form] / per_epoch[OURS]
        ratios[f"{form} / {OURS}, to the validation loss"] = to_goal[form] / to_goal[OURS]
        ratios[f"{form} / {OURS}, peak memory"] = seen[form]["peak_mb"] / seen[OURS]["peak_mb"]
    record = {
        "name": name,
        "num_epochs": num_epochs,
        "validation_loss_of_all": round(goal, 4),
        "not_installed": [] if is_installed else ["lightning"],
        "times": {f"{form}, an epoch": spread(one["epochs"]) for form, one in seen.items()},
        "ratios": ratios,
        "targets": [],
    }
    if name == "base.gin":
        record["targets"] = [target(E2E, 2.6, ratios[f"plain script / {OURS}, an epoch"], at_least=True)]
    for form, one in seen.items():
        record[f"{form}: tokens a second"] = one["num_targets"] / per_epoch[form]
        record[f"{form}: peak MB"] = one["peak_mb"]
        record[f"{form}: seconds to the loss"] = to_goal[form]
        record[f"{form}: lowest validation loss"] = min(one["losses"])
    return record


def seconds_to(seen: dict[str, Any], goal: float) -> float:
    """Seconds of training and validation until the loss is no higher than `goal`."""
    last = next(epoch for epoch, loss in enumerate(seen["losses"]) if loss <= goal)
    return sum(seen["epochs"][: last + 1]) + sum(seen["validations"][: last + 1])


def train(form: str, name: str, num_epochs: int, device_name: str) -> dict[str, Any]:
    """What one training noted."""
    device = torch.device(device_name)
    if device.type == "cpu":
        torch.set_num_threads(1)
    task, marks = Task(name, num_epochs, device), Marks(device)
    own = {OURS: emprot, "plain script": plain}
    run_form = own[form] if form in own else importlib.import_module("benchmarks.peers.lightning_e2e").train
    before = high_water_mb()
    with tempfile.TemporaryDirectory() as directory:
        run_form(task, marks, Path(directory))
    peak = torch.cuda.max_memory_allocated() / 2**20 if device.type == "cuda" else high_water_mb() - before
    num_targets = task.num_targets()
    return {
        "epochs": marks.epochs,
        "validations": marks.validations,
        "losses": marks.losses,
        "peak_mb": max(peak, 1.0),
        "num_targets": num_targets,
    }
