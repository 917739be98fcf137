"""The page in a real browser: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import os
import re
import time

import pytest
import torch

import pyro_dsae
from pyro_dsae import app
from pyro_dsae.app.stage import Stage
from pyro_dsae.data.videos import write_video

page_module = pytest.importorskip("pyro_dsae.app.page")
PATIENCE = 60  # seconds, on a machine that does other things besides
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Of a page of a tiny untrained pair, whose latents are far apart."""
    torch.manual_seed(0)
    sizes = {"f_dim": 5, "z_dim": 3, "channels": 4, "hidden": 16}
    model, guide = pyro_dsae.DSAE((3, 16, 16), **sizes), pyro_dsae.Factorised((3, 16, 16), **sizes)
    for head in (guide.f_head, guide.z_head[-1]):
        torch.nn.init.normal_(head.dense.weight, std=3.0)
    for weight in model.decoder.parameters():
        weight.data *= 2
    entries = app.read_data(model, guide, "procedural", count=8)
    folder = tmp_path_factory.mktemp("page")
    os.environ |= {"GRADIO_TEMP_DIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "False"}
    other = pyro_dsae.Unordered((3, 16, 16), **sizes), pyro_dsae.Full((3, 16, 16), **sizes)
    stage = Stage(model, guide, entries, "folder", (*other, "other"))
    blocks = page_module.build(stage, folder)
    yield page_module.serve(blocks, host="127.0.0.1", port=None, browser=False)
    blocks.close()


class Visitor:
    """One session, and what it sees."""

    def __init__(self, browser, address, width=1200):
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.asked, self.wrong = set(), []
        self.page.on("request", lambda request: self.asked.add(request.url))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.set_default_timeout(1000 * PATIENCE)
        self.page.goto(address)
        self.page.wait_for_selector("#film img")
        self.page.wait_for_selector("#motions .thumbnail-item")

    def film(self):
        return self.page.get_attribute("#film img", "src")

    def after(self, action):
        """The film once ``action`` has changed it."""
        before, end = self.film(), time.monotonic() + PATIENCE
        action()
        while self.film() == before:
            assert time.monotonic() < end, "the film did not change"
            time.sleep(0.02)
        return self.film()

    def pick(self, gallery, i):
        return self.after(self.page.locator(f"#{gallery} .thumbnail-item").nth(i).click)

    def open(self, tab):
        return self.after(self.page.get_by_role("tab", name=tab, exact=True).click)

    def slide(self, name, value):
        box = self.page.locator(f"#slide-{name} input[type=number]")
        return self.after(lambda: (box.fill(str(value)), box.press("Enter")))


@pytest.fixture
def visitor(browser, address):
    visitor = Visitor(browser, address)
    yield visitor
    visitor.page.close()
    assert visitor.wrong == []


def captions(visitor):
    return visitor.page.locator("#film figcaption span").all_inner_texts()


def test_picks_change_the_swap_and_come_back(visitor):
    first = visitor.film()
    assert captions(visitor) == ["content", "motion", "content in motion"]
    other = visitor.pick("contents", 3)
    visitor.pick("motions", 4)
    visitor.pick("motions", 1)
    assert visitor.film() == other != first
    assert visitor.pick("contents", 0) == first


def test_a_click_on_the_map_picks(visitor):
    visitor.page.get_by_role("tab", name="on a map").click()
    visitor.page.wait_for_selector("#map img", state="visible")
    width, height = (
        visitor.page.locator("#map img").bounding_box()[k] for k in ("width", "height")
    )
    films = set()
    for corner in ((0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9)):
        at = {"x": corner[0] * width, "y": corner[1] * height}
        visitor.page.locator("#map img").click(position=at)
        time.sleep(1)
        films.add(visitor.film())
    assert len(films) > 1


def test_every_control_moves_the_picture(visitor):
    visitor.open("Walk")
    assert captions(visitor) == ["from", "between", "to"]
    visitor.slide("content", 0.9)
    visitor.slide("motion", 0.2)
    visitor.open("Directions")
    visitor.slide("f-1", 2)
    visitor.slide("z-1", -2)
    visitor.page.get_by_text("The lines of Pyro that made it").click()
    assert "torch.tensor([2.0," in visitor.page.locator("#code").text_content()
    visitor.after(visitor.page.locator("#button-directions").click)
    visitor.open("Fresh")
    visitor.after(visitor.page.locator("#button-fresh").click)
    visitor.slide("steps", 30)
    visitor.after(visitor.page.get_by_label("contents for this motion").click)
    visitor.open("Forecast")
    visitor.slide("seen", 2)
    visitor.slide("ahead", 9)
    assert captions(visitor) == ["as it went on", "future 1", "future 2", "future 3"]
    visitor.open("Matrix")
    before = visitor.page.locator("#film img").bounding_box()["width"]
    visitor.pick("contents", 2)
    visitor.pick("motions", 3)
    assert visitor.page.locator("#film img").bounding_box()["width"] > before
    visitor.after(visitor.page.locator("#button-matrix").click)
    assert visitor.page.locator("#film img").bounding_box()["width"] == before


def test_a_second_pair_beside_the_first(visitor):
    visitor.open("Compare")
    first, *others = captions(visitor)
    assert first == "as it is"
    found = [re.match(r"(.*\n.*)\nsquared error 0\.\d+", other)[1] for other in others]
    assert found == ["folder\nDSAE with Factorised", "other\nUnordered with Full"]
    rows = visitor.page.locator("#film .rows span").all_inner_texts()
    assert rows == ["content", "motion", "content in motion"]
    visitor.pick("contents", 3)
    visitor.pick("motions", 4)
    assert captions(visitor)[1:] != others


def test_two_visitors_do_not_see_each_others_choices(browser, address, visitor):
    other = Visitor(browser, address)
    first = other.film()
    theirs = visitor.pick("contents", 3)
    time.sleep(0.5)
    assert other.film() == first
    assert other.pick("contents", 3) == theirs
    other.page.close()


def test_a_video_of_ones_own_and_a_wrong_file(browser, address, visitor, tmp_path):
    pytest.importorskip("av")
    upload, said = visitor.page.locator("input[type=file]").last, visitor.page.locator("#said")
    (tmp_path / "wrong.mp4").write_bytes(b"no film" * 99)
    upload.set_input_files(tmp_path / "wrong.mp4")
    said.get_by_text("wrong.mp4 must be a video").wait_for()
    assert "/" not in said.inner_text()
    frames = torch.randint(255, (9, 32, 32, 3), dtype=torch.uint8).numpy()
    write_video(tmp_path / "mine.mp4", frames, 8)
    visitor.after(lambda: upload.set_input_files(tmp_path / "mine.mp4"))
    said.get_by_text("mine.mp4: 9 frames").wait_for()
    assert visitor.page.locator("#contents .thumbnail-item").count() == 9
    assert Visitor(browser, address).page.locator("#contents .thumbnail-item").count() == 8


def test_films_to_take_home(visitor):
    with visitor.page.expect_download() as download:
        visitor.page.get_by_text("Save as GIF").click()
    assert download.value.suggested_filename == "swap.gif"
    pytest.importorskip("av")
    with visitor.page.expect_download() as download:
        visitor.page.locator("#mp4").click()
    assert download.value.suggested_filename == "swap.mp4"
    assert download.value.path().read_bytes()[4:8] == b"ftyp"


def test_nothing_is_asked_of_others(visitor, address):
    visitor.pick("contents", 3)
    there = (address, "data:", "blob:")
    assert [url for url in visitor.asked if not url.startswith(there)] == []


def test_a_narrow_window_is_usable(browser, address):
    visitor = Visitor(browser, address, width=400)
    assert visitor.page.evaluate("document.documentElement.scrollWidth") <= 400
    visitor.pick("contents", 3)
    box = visitor.page.locator("#film img").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 400 and box["width"] > 250
    assert box["y"] + box["height"] <= 900  # seen while one picks
    visitor.page.close()
