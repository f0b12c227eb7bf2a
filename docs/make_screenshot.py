"""Take pictures of the NNGuard panels in a real TensorBoard.

Run it as `python docs/make_screenshot.py --logdir nnguard_runs/demo --run learning-rate --out docs/images` after the demo. It needs
a Chromium on the machine (`apt-get install chromium`) and Playwright's Python package (in the group "dev").
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, ViewportSize, sync_playwright
from rich.progress import Progress

BROWSER_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
SIZE = ViewportSize(width=1600, height=1000)
SETTLE = 1500  # milliseconds that charts take to draw themselves


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logdir", type=Path, required=True, help="log directory of TensorBoard")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), help="folder for the PNG files")
    parser.add_argument("--run", default="", help="regular expression of the runs to show; all by default")
    parser.add_argument("--browser", default="/usr/bin/chromium", help="Chromium's executable")
    arguments = parser.parse_args()
    if not any(arguments.logdir.rglob("events.out.tfevents.*")):
        parser.error(f"--logdir {arguments.logdir} holds no event file")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with Progress() as progress, tensorboard(arguments.logdir) as url, sync_playwright() as playwright:
        work = progress.add_task("screenshots", total=len(PICTURES))
        browser = playwright.chromium.launch(executable_path=arguments.browser, args=list(BROWSER_FLAGS))
        for name, (tab, show) in PICTURES.items():
            path = arguments.out / f"{name}.png"
            shoot(browser, f"{url}#{tab}", show, path, run=arguments.run)
            progress.console.print(f"{path} ({path.stat().st_size // 1000} kB)")
            progress.advance(work)
        browser.close()


@contextlib.contextmanager
def tensorboard(logdir: Path, seconds: float = 60.0) -> Iterator[str]:
    """Serve a log directory until the block ends; give the address once it has data.

    Raises:
        RuntimeError: If the server ends, or has no data after `seconds`.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(logdir), "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen([*command, "--load_fast=false"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/"
    try:
        deadline = time.monotonic() + seconds
        while not has_data(url):
            if server.poll() is not None:
                raise RuntimeError(f"TensorBoard ended with code {server.returncode}: {' '.join(command)}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"TensorBoard had no data after {seconds:g} seconds: {' '.join(command)}")
            time.sleep(0.5)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=20)


def has_data(url: str) -> bool:
    """Return whether TensorBoard serves at least one scalar."""
    try:
        with urllib.request.urlopen(f"{url}data/plugin/scalars/tags", timeout=5) as answer:
            return any(json.load(answer).values())
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def shoot(browser: Browser, url: str, show: Callable[[Page], Locator], path: Path, *, run: str) -> None:
    """Open one tab, bring its NNGuard panels on the screen and save what is seen down to their end."""
    page = browser.new_page(viewport=SIZE, device_scale_factor=2)
    try:
        page.goto(url)
        page.locator("tf-runs-selector input >> visible=true").first.fill(run)
        page.wait_for_timeout(SETTLE)
        panel = show(page)
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(SETTLE)
        box = panel.bounding_box()
        bottom = SIZE["height"] if box is None else min(SIZE["height"], box["y"] + box["height"] + 24)
        page.screenshot(path=path, clip={"x": 0, "y": 0, "width": SIZE["width"], "height": bottom})
    finally:
        page.close()


def show_findings(page: Page) -> Locator:
    """Wait for the table of findings."""
    page.locator("tf-text-loader table, tf-text-loader p").first.wait_for()
    return page.locator("tf-text-loader").first


def show_health(page: Page) -> Locator:
    """Leave only the health map, at its actual size."""
    page.locator("tf-tag-filterer input").fill("nnguard/health")
    page.get_by_text("Show actual image size").click()
    picture = page.locator("tf-image-loader img").first
    picture.wait_for()
    return picture


def show_layouts(page: Page) -> Locator:
    """Wait for the lines in all charts, outliers included: the sick layer is one."""
    page.locator("tf-custom-scalar-margin-chart-card").last.wait_for()
    page.get_by_text("Ignore outliers").click()
    return page.locator("tf-category-paginated-view").first


def show_layer(page: Page) -> Locator:
    """Follow the first link in the list of findings to the charts of that layer."""
    page.locator("tf-text-loader table a").first.click()
    page.locator("card-view").first.wait_for()
    page.get_by_label("Toggle settings side pane").click()  # they take a fifth of the width
    return page.locator("body")


PICTURES = {
    "findings": ("text", show_findings),
    "health": ("images", show_health),
    "custom_scalars": ("custom_scalars", show_layouts),
    "layer": ("text", show_layer),
}

if __name__ == "__main__":
    main()
