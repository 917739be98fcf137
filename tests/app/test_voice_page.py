"""The page of voices in a real browser."""

from __future__ import annotations

import base64
import io
import os
import re

import pytest

import pyro_dsae
from pyro_dsae import app

soundfile = pytest.importorskip("soundfile")
pytest.importorskip("librosa")
page_module = pytest.importorskip("pyro_dsae.app.page")
voice_page = pytest.importorskip("pyro_dsae.app.voice_page")
PATIENCE = 60_000  # milliseconds, on a machine that does other things besides
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def address(speech, tmp_path_factory):
    os.environ |= {
        "GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("voices")),
        "GRADIO_ANALYTICS_ENABLED": "False",
    }
    studio = app.Studio(*pyro_dsae.load(speech), str(speech))
    blocks = voice_page.build_voices(studio, about="`folder`")
    yield page_module.serve(blocks, host="127.0.0.1", port=None, browser=False)
    blocks.close()


@pytest.fixture(params=[1200, 400])
def page(request, browser, address):
    """A wide window and a narrow one."""
    page = browser.new_page(viewport={"width": request.param, "height": 900})
    page.set_default_timeout(PATIENCE)
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address)
    page.wait_for_selector("#voice input[type=file]", state="attached")
    yield page
    page.close()
    assert wrong == []


def upload(page, part, path):
    page.set_input_files(f"#{part} input[type=file]", path)
    page.wait_for_selector(f"#{part} .waveform-container, #{part} audio", state="attached")


def test_a_recording_in_the_voice_of_another(page, tmp_path, recorded):
    button, said = page.locator("#convert"), page.locator("#said")
    button.click()
    said.get_by_text("There is no recording yet of what is said").wait_for()
    upload(page, "content", recorded(tmp_path / "his.wav", 100, 1.2))
    upload(page, "voice", recorded(tmp_path / "hers.wav", 220))
    button.click()
    players = page.locator("#heard audio")
    players.nth(1).wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= page.viewport_size["width"]
    page.wait_for_function("document.querySelector('#heard audio').duration > 1.1")
    page.wait_for_function("document.querySelector('#heard audio').played.length > 0")
    data = base64.b64decode(players.nth(0).get_attribute("src").split(",")[1])
    assert soundfile.read(io.BytesIO(data))[0].shape == (19_200,)
    with page.expect_download() as download:
        page.get_by_text("Save as WAV").click()
    assert download.value.suggested_filename == "conversion.wav"
    assert download.value.path().read_bytes() == data
    page.get_by_text("The lines of Pyro that made it").click()
    page.locator("#code").get_by_text("conversion").first.wait_for()


def test_a_wrong_file_and_one_too_long(page, tmp_path, recorded):
    (tmp_path / "wrong.wav").write_bytes(b"no sound" * 99)
    upload(page, "voice", recorded(tmp_path / "hers.wav", 220))
    for name, words in {
        "wrong": "wrong.wav must be sound",
        "long": "long.wav must last at most 30",
    }.items():
        path = tmp_path / f"{name}.wav"
        if name == "long":
            recorded(path, 100, 31)
        upload(page, "content", path)
        page.locator("#convert").click()
        page.locator("#said").get_by_text(words).wait_for()
        assert not re.search(r"/|tmp", page.locator("#said").inner_text())
        assert page.locator("#heard audio").count() == 0
        page.locator("#content").get_by_label("Clear").click()


def test_the_microphone(page, tmp_path, recorded):
    upload(page, "voice", recorded(tmp_path / "hers.wav", 220))
    page.locator("#content").get_by_label("Record audio").click()
    page.locator("#content .record-button").first.click()
    page.wait_for_timeout(1500)
    page.locator("#content .stop-button").first.click()
    page.wait_for_selector("#content .waveform-container", state="attached")
    page.locator("#convert").click()
    page.locator("#heard audio").nth(1).wait_for()
