"""The page of jobs.Report in a real browser: opened from disk, without a network, wide, narrow, dark and printed."""

from pathlib import Path

import numpy as np
import pytest
from browser import browser, errors_of, picture_of, wait_for
from report_pages import figures_of, ids_of
from run_commands import DEBUG, bind

from emprot_core.cli import main

pytestmark = pytest.mark.browser
DRAWN = "document.documentElement.dataset.drawn"
WIDTHS = [1400, 360]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """The page of two short runs."""
    folder = tmp_path_factory.mktemp("runs")
    for name in "ab":
        run = [DEBUG, f"run.directory={folder}/{name}", "Trainer.max_steps=4"]
        assert main([*run, *bind("Train.baselines=[@baselines.markov(), @baselines.interpolated()]")]) == 0
    assert main(["--report", f"{folder}/a", f"{folder}/b"]) == 0
    return folder / "a" / "report.html"


def opened(driver, page: Path) -> None:
    driver.get(page.as_uri())
    wait_for(driver, DRAWN)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_opens_without_errors_and_shows_every_figure(width: int, page: Path) -> None:
    with browser(width) as driver:
        opened(driver, page)
        assert errors_of(driver) == []
        assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0
        assert "the best baseline" in driver.find_element("id", "verdict").text
        for name in figures_of(page):
            assert driver.find_element("css selector", f"#{name} .plot-container").is_displayed()
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_no_figure_is_wider_than_its_card_and_no_label_is_cut_off(width: int, page: Path) -> None:
    outside = """
        return [...document.querySelectorAll('.plot text')].filter((text) => {
            const own = text.getBoundingClientRect(), card = text.closest('figure').getBoundingClientRect();
            return own.width && (own.left < card.left - 1 || own.right > card.right + 1 || own.bottom > card.bottom);
        }).map((text) => text.textContent)"""
    with browser(width) as driver:
        opened(driver, page)
        assert driver.execute_script(outside) == []


def test_the_trace_has_pixels_and_turns_with_the_arrow_keys(page: Path) -> None:
    with browser(1400) as driver:
        opened(driver, page)
        trace = driver.find_element("id", "trace")
        before = picture_of(trace)
        colours = np.ptp(before.astype(int), axis=2) > 60  # neither the card nor the letters are that colourful
        assert colours.mean() > 0.005
        trace.send_keys("\ue014" * 5)  # the right arrow
        after = picture_of(trace)
        assert (before != after).any(axis=2).mean() > 0.005


def test_the_button_turns_the_trace_until_it_is_pressed_again(page: Path) -> None:
    camera = "document.getElementById('trace')._fullLayout.scene._scene.getCamera().eye.x"
    with browser(1400) as driver:
        opened(driver, page)
        button = driver.find_element("css selector", "[data-turn=trace]")
        first = driver.execute_script(f"return {camera}")
        driver.execute_script("arguments[0].click()", button)
        wait_for(driver, f"Math.abs({camera} - {first}) > 0.05")
        driver.execute_script("arguments[0].click()", button)
        assert button.get_attribute("aria-pressed") == "false"


def test_letters_can_be_read_in_the_dark_and_in_the_light(page: Path) -> None:
    for dark in (False, True):
        with browser(1400, dark) as driver:
            opened(driver, page)
            colours = driver.execute_script(
                "const text = document.querySelector('#skill .xtick text');"
                "return [getComputedStyle(text).fill, getComputedStyle(document.body).backgroundColor]"
            )
        letters, ground = (brightness(colour) for colour in colours)
        assert (letters > ground) == dark
        assert abs(letters - ground) > 150


def brightness(colour: str) -> float:
    """0 to 255, of a text such as rgb(1, 2, 3)."""
    return sum(int(part) for part in colour[colour.index("(") + 1 : -1].split(",")[:3]) / 3


def test_a_button_gives_the_numbers_of_a_figure(page: Path) -> None:
    with browser(1400) as driver:
        opened(driver, page)
        text = driver.execute_script("return csvOf(page.figures.find((each) => each.name === 'skill').columns)")
        columns = figures_of(page)["skill"]["columns"]
        head, *rows, end = text.split("\n")
        assert (head.split(","), end) == (list(columns), "")
        assert [float(row.split(",")[1]) for row in rows] == columns["model a"]
        buttons = driver.find_elements("css selector", "[data-csv]")
        assert [button.get_attribute("data-csv") for button in buttons] == list(figures_of(page))


def test_every_button_and_figure_can_be_reached_by_the_tab_key(page: Path) -> None:
    with browser(1400) as driver:
        opened(driver, page)
        reached = set()
        body = driver.find_element("css selector", "body")
        for _ in range(150):
            body.send_keys("\ue004")  # the tab key
            body = driver.switch_to.active_element
            reached.add(body.get_attribute("data-csv") or body.get_attribute("id"))
        assert reached >= set(figures_of(page))


def test_a_printed_page_has_the_trace_as_a_picture_and_no_buttons(page: Path) -> None:
    with browser(1400) as driver:
        opened(driver, page)
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        assert driver.find_element("css selector", "img.printed").is_displayed()
        assert driver.execute_script("return document.querySelector('img.printed').naturalWidth") == 800
        assert not driver.find_element("css selector", "[data-csv]").is_displayed()
        assert len(driver.execute_cdp_cmd("Page.printToPDF", {})["data"]) > 50_000
        assert errors_of(driver) == []
        assert {"trace", "trace-1"} <= set(ids_of(page))
