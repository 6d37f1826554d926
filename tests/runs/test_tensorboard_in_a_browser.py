"""TensorBoard's pages of two runs in a real browser."""

import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from browser import browser, errors_of
from run_commands import DEBUG, bind

from emprot_core.cli import main

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    """The address of TensorBoard over a run and one with another optimizer."""
    folder = tmp_path_factory.mktemp("runs")
    for name, more in {"a": [], "b": ["Trainer.optimizer=@optimizers.sgd"]}.items():
        run = [DEBUG, f"run.directory={folder}/{name}", "Trainer.max_steps=8", *more]
        assert main([*run, *bind("Train.baselines=[@baselines.markov(), @baselines.interpolated()]")]) == 0
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}/"
    for _ in range(200):
        try:
            urllib.request.urlopen(f"{address}data/runs").read()
            break
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    yield address
    process.kill()
    process.wait()


PAGES = {
    "timeseries": ["skill/gain_over_best/h1", "skill/gain_over_best/h2"],
    "custom_scalars": ["Is it better than the best baseline?", "loss in nats"],
    "text": ["test/verdict", "the best baseline"],
    "images": ["windows/1_truth_and_forecast"],
    "hparams": ["Trainer.optimizer", "@optimizers.sgd", "skill/gain_over_best/h1"],
}
ALL_TEXT = """
    const words = (node) => [...node.childNodes].map((each) => each.nodeType === 3 ? each.data : words(each)).join(" ")
        + (node.shadowRoot ? words(node.shadowRoot) : "");
    return words(document.body)"""


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_its_cards_without_errors(page: str, server: str) -> None:
    with browser(1500) as driver:
        driver.get(f"{server}#{page}")
        missing = PAGES[page]
        for _ in range(100):
            text = "".join(driver.execute_script(ALL_TEXT).split())  # long tags are broken into pieces
            missing = [words for words in missing if "".join(words.split()) not in text]
            if not missing:
                break
            time.sleep(0.3)
        assert missing == []
        assert errors_of(driver) == []
