"""How soon the explorer answers, in a real browser: first page, a swap's click, memory over many clicks.

    python benchmarks/explorer.py pretrained/lpc-sprites-64 --data DIR/lpc-sprites --out FILE

Starts ``python -m pyro_dsae.app`` as a user does and drives Debian's chromium by Playwright (``pip install
playwright``). ``first_page_s`` is from the command to a page with its film. A click's time is taken in the
page: from the click on a thumbnail to the frame that shows another film. Memory is the server's, at rest.
"""

from __future__ import annotations

import argparse
import itertools
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import record, write

if TYPE_CHECKING:
    from playwright.sync_api import Page

CLICK = """([gallery, i]) => new Promise((done, failed) => {
  const film = document.querySelector("#film");
  const before = film.querySelector("img").src;
  const start = performance.now();
  const look = () => film.querySelector("img")?.src === before
    ? (performance.now() - start < 10000 ? requestAnimationFrame(look)
      : failed(`no other film 10 s after a click on ${gallery} ${i}`))
    : done(performance.now() - start);
  document.querySelectorAll(`#${gallery} .thumbnail-item`)[i].click();
  requestAnimationFrame(look);
})"""
GALLERIES = ("contents", "motions")


def click(page: Page, turn: int, count: int) -> float:
    """Milliseconds of one pick: contents and motions in turn, each time another, of the first 0 and 1."""
    which = turn % 2
    return page.evaluate(CLICK, [GALLERIES[which], 1 + (turn // 2 + which) % (count - 1)])


def resident(process: int) -> int:
    """Bytes of memory that a process holds."""
    status = Path(f"/proc/{process}/status").read_text()
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status)[1])


def measure(page: Page, address: str, process: int, start: float, clicks: int) -> dict[str, Any]:
    """Of a server that was ``start``-ed then."""
    page.goto(address)
    page.wait_for_selector("#film img")
    page.wait_for_selector("#motions .thumbnail-item")
    first = time.perf_counter() - start
    count = page.locator("#motions .thumbnail-item").count()
    turns = itertools.count()  # never the same pick twice
    for _ in range(2 * (count - 1)):  # each once, so that what is kept of a sequence is kept
        click(page, next(turns), count)
    taken = [click(page, next(turns), count) for _ in range(20)]
    held = []
    for _ in range(5):
        for _ in range(clicks // 5):
            click(page, next(turns), count)
        held.append(resident(process))
    return {
        "first_page_s": first,
        "click_ms": {
            "median": statistics.median(taken),
            "worst": max(taken),
            "each": taken,
        },
        "clicks": clicks,
        "memory_bytes": held,
    }


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("model", help="a pair of images, as for python -m pyro_dsae.app")
    options.add_argument("--data", help="as for python -m pyro_dsae.app")
    options.add_argument("--clicks", type=int, default=500, help="over which memory is watched")
    options.add_argument("--out", type=Path, help="write the figures to this file")
    args = options.parse_args()
    from playwright.sync_api import sync_playwright

    command = [sys.executable, "-u", "-m", "pyro_dsae.app", args.model, "--no-browser"]
    command += ["--data", args.data] if args.data else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        start = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            said = next((line for line in server.stdout if "http" in line), "")
            try:
                address = re.search(r"http://\S+?(?=,|\s)", said)
                if address is None:
                    sys.exit("the explorer did not start")
                results = measure(page, address[0], server.pid, start, args.clicks)
            finally:
                server.terminate()
        browser.close()
    ms, held = results["click_ms"], results["memory_bytes"]
    print(f"first page {results['first_page_s']:.1f} s")
    print(
        f"a swap: median {ms['median']:.0f} ms, worst {ms['worst']:.0f} ms of {len(ms['each'])} clicks"
    )
    print(f"memory, MB, five times over {args.clicks} clicks: {[round(b / 1e6) for b in held]}")
    write({**results, "run": record()}, args.out)


if __name__ == "__main__":
    main()
