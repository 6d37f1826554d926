"""The worker of a sweep and what Optuna suggests, on trials that only write their files."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
from emprot_plugins.sweeps.ledger import FAILED, FINISHED, FREE, PRUNED, Ledger, Trial
from emprot_plugins.sweeps.tpe import MedianPruning, Tpe
from emprot_plugins.sweeps.values import parse
from emprot_plugins.sweeps.worker import Worker

from emprot_core.errors import EmprotError
from emprot_core.files import write_hashed_json

SPACE = parse(["a.rate=log(1e-4, 1)", "a.depth=int(1, 4)", "a.kind=[x, y]"])[0]
IMPORTS = "from emprot_core.files import write_hashed_json as w; from pathlib import Path; import sys; "
WRITES = IMPORTS + "w(Path(sys.argv[-1].partition('=')[2]) / 'result.json', {'status': 'finished'})"
FAILS = "print('error: no such file'); print('  --debug shows the traceback'); raise SystemExit(1)"


def ledger_of(directory: Path, num_trials: int, values: str = "0") -> Ledger:
    ledger = Ledger(directory, {"plan": 1})
    for number in range(num_trials):
        ledger.add(number, {"a.x": values}, "digest")
    return ledger


def work(ledger: Ledger, program: str, num_jobs: int = 2, prune=None) -> int:
    def next_trial(taken: set[int]) -> Trial | None:
        free = [t for t in ledger.trials() if t.number not in taken and ledger.state(t) == FREE]
        return free[0] if free else None

    worker = Worker(ledger, lambda arguments: [sys.executable, "-c", program, *arguments], num_jobs, prune)
    return worker.run(next_trial, lambda: all(ledger.state(trial) != FREE for trial in ledger.trials()))


def test_every_trial_is_run(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, 3)
    assert work(ledger, WRITES) == 0
    assert [ledger.state(trial) for trial in ledger.trials()] == [FINISHED] * 3


def test_what_a_failing_trial_printed_last_is_kept(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, 1)
    assert work(ledger, FAILS) == 0
    assert ledger.why(ledger.trial(0)) | {"sha256": ""} == {
        "state": FAILED, "why": "exit status 1: error: no such file", "sha256": ""
    }  # fmt: skip


def test_a_trial_that_dies_is_started_again_and_given_up_the_third_time(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, 1)
    assert work(ledger, "import os, signal; print('begun', flush=True); os.kill(os.getpid(), signal.SIGKILL)") == 0
    assert "ended by signals 3 times" in ledger.why(ledger.trial(0))["why"]
    assert ledger.log(ledger.trial(0)).read_text().count("begun") == 3


def test_a_trial_whose_claim_a_living_process_holds_is_waited_for(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, 1)
    trial = ledger.trial(0)
    claim = ledger.claim(trial)
    assert claim is not None
    assert ledger.claim(trial) is None

    def finish() -> None:
        time.sleep(0.6)
        write_hashed_json(trial.directory / "result.json", {"status": "finished"})
        os.close(claim)

    threading.Thread(target=finish).start()
    assert work(ledger, "raise SystemExit('it was run twice')") == 0
    assert ledger.state(trial) == FINISHED


def test_a_signal_is_passed_on_and_the_trials_stay_free(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, 2)
    threading.Timer(1.0, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
    assert work(ledger, "import time; time.sleep(60)") == 143
    assert [ledger.state(trial) for trial in ledger.trials()] == [FREE] * 2
    assert ledger.claim(ledger.trial(0)) is not None


def test_a_pruned_trial_is_ended_and_recorded(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, 1)
    trial = ledger.trial(0)
    trial.directory.mkdir()
    (trial.directory / "metrics.jsonl").write_text('{"step": 1, "val/total_loss": 9.0}\n')
    assert work(ledger, "import time; time.sleep(60)", prune=lambda trial: "it is worse") == 0
    assert (ledger.state(trial), ledger.why(trial)["why"]) == (PRUNED, "it is worse")


def test_the_first_that_enters_a_trial_decides_its_values(tmp_path: Path) -> None:
    one, other = Ledger(tmp_path, {"plan": 1}), Ledger(tmp_path, {"plan": 1})
    assert one.add(0, {"a.x": "1"}, "first") == other.add(0, {"a.x": "2"}, "second")
    assert other.trial(0).values == {"a.x": "1"}
    with pytest.raises(EmprotError, match="plan: 1 -> 2"):
        Ledger(tmp_path, {"plan": 2})


def enter(ledger: Ledger, number: int, rate: float, losses: list[float], ends: bool = True) -> Trial:
    trial = ledger.add(number, {"a.rate": repr(rate), "a.depth": "2", "a.kind": "x"}, "digest")
    trial.directory.mkdir()
    lines = [f'{{"step": {step}, "val/total_loss": {loss}}}\n' for step, loss in enumerate(losses, 1)]
    (trial.directory / "metrics.jsonl").write_text("".join(lines))
    if ends:
        best = {"val/total_loss": min(losses)}
        write_hashed_json(trial.directory / "result.json", {"status": "finished", "best": best})
    return trial


def test_suggestions_follow_the_ledger_and_lie_in_the_space(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, {"plan": 1})
    for number in range(12):
        rate = 10 ** (-4 + number / 3)
        enter(ledger, number, rate, [abs(number - 6)])
    suggested = [Tpe(SPACE, ledger, seed)(12) for seed in range(8)]
    assert suggested[0] == Tpe(SPACE, ledger, 0)(12)
    assert all(1e-4 <= float(each["a.rate"]) <= 1 for each in suggested)
    assert {each["a.kind"] for each in suggested} <= {"x", "y"}
    near = [1e-3 < float(each["a.rate"]) < 1e-1 for each in suggested]
    assert sum(near) >= 5  # the best rate was 1e-2


def test_a_trial_above_the_median_of_five_is_pruned_and_a_good_one_is_not(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, {"plan": 1})
    for number in range(5):
        enter(ledger, number, 0.1, [3.0 + number, 2.0 + number])
    prune = MedianPruning(SPACE, ledger)
    assert prune(enter(ledger, 5, 0.1, [3.1, 2.1], ends=False)) is None
    assert prune(enter(ledger, 6, 0.1, [9.0, 8.0], ends=False)) == (
        "its validation loss 8.0000 at step 2 is above the median of the other trials"
    )
