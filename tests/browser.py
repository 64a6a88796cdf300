"""A real browser, where the machine has one: what a page asks for, says and looks like."""

from __future__ import annotations

import base64
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")

_PATIENCE = 60.0  # seconds until what does not come is taken for missing
# charts follow the size of the window after a moment
_CHARTS_FIT = """
return [...document.querySelectorAll(".chart")].every(chart => {
  const drawn = chart.querySelector(".main-svg");
  return drawn !== null && Math.abs(drawn.clientWidth - chart.clientWidth) <= 1;
});
"""


@dataclass
class Page:
    """A page that is open in the browser."""

    driver: Any

    def look(self, *, width: int, dark: bool = False) -> None:
        """Show the page as a screen of so many pixels does, in light or in dark."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        self._wait(f"return document.documentElement.dataset.scheme === '{scheme['value']}'")
        self._wait(_CHARTS_FIT)

    def _wait(self, condition: str) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self.run(condition) and time.monotonic() < deadline:
            time.sleep(0.1)

    def run(self, script: str) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script)

    def console(self) -> list[str]:
        """What the page has said on the console since it was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """The addresses that the browser has asked for."""
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        sent = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        return [address for address in sent if not address.startswith(("data:", "chrome"))]

    def picture(self, path: Path) -> None:
        """The whole page as PNG."""
        height = self.run("return document.documentElement.scrollHeight")
        width = self.run("return window.innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def opened(path: Path, profile: Path) -> Iterator[Page]:
    """The page of an HTML file in a fresh browser that keeps nothing."""
    options = Options()
    options.binary_location = str(BROWSER)
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-dev-shm-usage", f"--user-data-dir={profile}",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(str(DRIVER)))
    try:
        driver.get("about:blank")  # away from the browser's own first page
        time.sleep(0.2)
        driver.get_log("performance")
        driver.execute_cdp_cmd("Network.enable", {})
        driver.get(path.resolve().as_uri())
        page = Page(driver)
        page._wait("return document.documentElement.dataset.drawn !== undefined")
        yield page
    finally:
        driver.quit()
