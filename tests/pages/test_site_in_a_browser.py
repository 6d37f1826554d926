"""The built site, opened from disk in a chromium that reaches no network."""

from pathlib import Path

import pytest
from browser import browser, errors_of, wait_for

from pages import SITE
from pages.__main__ import main as build_site

pytestmark = pytest.mark.browser
FIRST_RESULT = "document.activeElement.shadowRoot.querySelector('ol li, a')?.textContent"
PAGES = ["index", "start", "concepts", "faults", "gallery", "reference/losses"]


@pytest.fixture(scope="module")
def site() -> Path:
    assert build_site() == 0
    return SITE / "html"


@pytest.mark.parametrize("width", [1400, 360])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_pages_fit_their_width_show_every_picture_and_have_no_error(site: Path, width: int, dark: bool) -> None:
    backgrounds = set()
    with browser(width, dark) as driver:
        for page in PAGES:
            driver.get((site / f"{page}.html").as_uri())
            wait_for(driver, "document.readyState == 'complete'")
            assert driver.execute_script("return document.documentElement.scrollWidth") <= width, page
            assert driver.execute_script("return [...document.images].every(image => image.naturalWidth > 0)"), page
            backgrounds.add(driver.execute_script("return getComputedStyle(document.body).backgroundColor"))
        assert errors_of(driver) == []
    (background,) = backgrounds
    shades = [float(number) for number in background.removeprefix("rgb(").removesuffix(")").split(",")]
    assert max(shades) < 60 if dark else min(shades) > 200


def test_the_search_finds_a_part_by_keyboard_alone(site: Path) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    with browser(1400) as driver:
        driver.get((site / "index.html").as_uri())
        wait_for(driver, "document.readyState == 'complete'")
        ActionChains(driver).send_keys("/").perform()
        wait_for(driver, "document.activeElement.shadowRoot?.activeElement?.tagName == 'INPUT'")
        ActionChains(driver).send_keys("cosine_with_warmup").perform()
        wait_for(driver, f"{FIRST_RESULT}?.includes('Schedulers')")
        ActionChains(driver).send_keys(Keys.ENTER).perform()
        wait_for(driver, "location.pathname.endsWith('reference/schedulers.html')")
        assert errors_of(driver) == []
