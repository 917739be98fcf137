"""The page: controls of Gradio around :mod:`pyro_dsae.app.stage`. Choices are of one session."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .atlas import atlas, nearest, thumbnail
from .entries import Entry, read_clip
from .films import Shown, film
from .stage import COMPARE, CONTENTS, MOTIONS, Choice, Stage

MOST_UPLOADS = 4  # of a session
LARGEST = "16mb"  # of an upload
POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'"
HINTS = {
    "Swap": "The content of one sequence in the motion of another.",
    "Walk": "From one to the other, content and motion apart.",
    "Directions": "Along principal directions, in standard deviations.",
    "Fresh": "Drawn from the prior, of any length.",
    "Forecast": "The motion's own sequence is seen up to a frame (faded), then goes on.",
    COMPARE: "Two sequences and their swap by both pairs, with the mean squared error of the first two rows.",
    "Matrix": "Each content picked adds a row, each motion a column.",
}
SAVE = "() => setTimeout(() => document.querySelector('#mp4-link a').click(), 50)"

CSS = """
.gradio-container main { width: 100%; max-width: 76rem !important; margin: auto; box-sizing: border-box; }
figure.film { margin: 0 auto; max-width: 100%; }
figure.film img { width: 100%; image-rendering: pixelated; border-radius: 4px; }
figure.film.matrix img { image-rendering: auto; }
figure.film figcaption { display: grid; grid-auto-flow: column; grid-auto-columns: 1fr;
  text-align: center; font-size: .9rem; padding-top: .3rem; overflow-wrap: anywhere; }
figure.film .rows { position: relative; padding-left: 2.4rem; }
figure.film .rows > div { position: absolute; inset: 0 auto 0 0; display: grid; grid-auto-rows: 1fr; }
figure.film .rows span { writing-mode: vertical-rl; transform: rotate(180deg); text-align: center;
  font-size: .9rem; line-height: 1.2; min-height: 0; }
figure.film .rows img { display: block; }
figure.film .rows + figcaption { padding-left: 2.4rem; white-space: pre-line; }
figure.sounds { margin: 0; }
figure.sounds div { display: grid; grid-template-columns: 11rem minmax(0, 1fr); align-items: center; }
figure.sounds audio { width: 100%; height: 2.5rem; margin: .2rem 0; }
figure.sounds img { width: 100%; border-radius: 4px; }
figure.sounds p { text-align: center; margin: .6rem 0; }
figure.sounds a { color: var(--link-text-color); text-decoration: underline; font-size: 1rem; }
figure.film p { text-align: center; margin: .6rem 0 0; }
figure.film a { margin: 0 .3rem; text-decoration: underline; }
.gradio-container button[role=tab] { padding: 0 .7rem; }
.pick .grid-container { grid-template-columns: repeat(auto-fill, minmax(72px, 1fr)) !important; }
.pick .grid-container { grid-auto-rows: auto !important; }
.pick .thumbnail-item { min-width: 0; aspect-ratio: 1; height: auto !important; }
.pick .caption-label { display: none; }
figure.film a, #mp4 { color: var(--link-text-color); font-size: 1rem; font-weight: normal; }
#mp4 { align-self: center; width: auto; background: none; text-decoration: underline; margin-top: -1.8rem; }
#mp4-link { display: none; }
@media (max-width: 800px) {
  #main { flex-direction: column; }
  #main > * { min-width: 0 !important; width: 100%; flex: none; }
  figure.film .rows + figcaption { font-size: .75rem; }
  .pick, .pick .grid-wrap { height: 132px !important; }
  figure.sounds div { grid-template-columns: 1fr; }
}
.pick .thumbnail-item img { image-rendering: pixelated; }
#map img { image-rendering: pixelated; cursor: crosshair; }
"""


class NothingOutside:
    """Tells the browser to ask this server alone: no fonts, scripts or counts from elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = POLICY
            await send(message)

        await self.app(scope, receive, sent)


def build(stage: Stage, folder: str | Path, *, about: str = "") -> gr.Blocks:
    """The page, not yet served.

    :param folder: a temporary one, for the moving thumbnails.
    :param about: a line below the title.
    """
    stills = [(thumbnail(entry), entry.name) for entry in stage.entries]
    moving = [
        (_moving(entry, Path(folder, f"{i}.gif")), entry.name)
        for i, entry in enumerate(stage.entries)
    ]
    first = stage.draw(Choice(), {})
    with gr.Blocks(
        analytics_enabled=False, title="pyro-dsae explorer", delete_cache=(600, 3600)
    ) as blocks:
        gr.Markdown(f"# Who, and what do they do?\n{about}")
        choice = gr.State(Choice(), time_to_live=6 * 3600)
        last = gr.State(None, time_to_live=6 * 3600)
        with gr.Row(elem_id="main"):
            with gr.Column(scale=2, min_width=320):
                contents, chart, motions, upload, said = _pickers(stage, stills, moving)
            with gr.Column(scale=3, min_width=320):
                controls: dict[str, Any] = {}
                buttons: dict[str, Any] = {}
                tabs = {}
                with gr.Tabs(overflow_behavior="wrap"):
                    for name in stage.tabs:
                        with gr.Tab(name) as tabs[name]:
                            gr.Markdown(HINTS[name])
                            _controls(name, stage, controls, buttons)
                picture = gr.HTML(first.html(), elem_id="film")
                mp4 = gr.Button("Save as MP4", size="sm", elem_id="mp4")
                link = gr.HTML(elem_id="mp4-link")
                with gr.Accordion("The lines of Pyro that made it", open=False):
                    code = gr.Code(
                        first.lines,
                        language="python",
                        interactive=False,
                        show_label=False,
                        wrap_lines=True,
                        elem_id="code",
                    )

        inputs = [choice, *controls.values()]
        outputs = [choice, picture, code, last]
        quietly: Any = {"show_progress": "hidden", "api_visibility": "private"}

        def show(chosen: Choice, *values: Any) -> tuple[Choice, str, str, Shown]:
            shown = stage.draw(chosen, dict(zip(controls, values, strict=True)))
            return chosen, shown.html(), shown.lines, shown

        def opened(tab: str, chosen: Choice, *values: Any) -> Any:
            return show(chosen.picked(tab=tab), *values)

        def picked_content(event: gr.SelectData, chosen: Choice, *values: Any) -> Any:
            return show(chosen.picked(content=int(event.index)), *values)

        def picked_place(event: gr.SelectData, chosen: Choice, *values: Any) -> Any:
            return show(
                chosen.picked(content=nearest(stage.directions.places, *event.index)), *values
            )

        def picked_motion(event: gr.SelectData, chosen: Choice, *values: Any) -> Any:
            return show(chosen.picked(motion=int(event.index)), *values)

        def received(path: str, chosen: Choice, *values: Any) -> Any:
            try:
                if len(chosen.own) >= MOST_UPLOADS:
                    raise ValueError(f"at most {MOST_UPLOADS} videos of your own, this is one more")
                entry = read_clip(path, stage.model, stage.guide, Path(path).name, stage.pace)
            except ValueError as error:
                return str(error), *[gr.skip()] * (2 + len(outputs))
            chosen = replace(chosen, own=(*chosen.own, entry))
            chosen = chosen.picked(content=len(stage.entries) + len(chosen.own) - 1)
            more = [(thumbnail(own), own.name) for own in chosen.own]
            message = (
                f"{entry.name}: {len(entry.x)} frames, last in both galleries, the content now"
            )
            return message, [*stills, *more], [*moving, *more], *show(chosen, *values)

        def saved(shown: Shown | None) -> str:
            try:
                return (shown or first).link("mp4")
            except ImportError as error:
                raise gr.Error(str(error)) from error

        for name, tab in tabs.items():
            tab.select(partial(opened, name), inputs, outputs, **quietly)
        contents.select(picked_content, inputs, outputs, **quietly)
        chart.select(picked_place, inputs, outputs, **quietly)
        motions.select(picked_motion, inputs, outputs, **quietly)
        for control in controls.values():
            control.input(show, inputs, outputs, trigger_mode="always_last", **quietly)
        for name in ("Fresh", "Forecast"):
            buttons[name].click(show, inputs, outputs, **quietly)
        moves = [control for name, control in controls.items() if name[:2] in ("f ", "z ")]
        buttons["Directions"].click(lambda: [0] * len(moves), None, moves, **quietly).then(
            show, inputs, outputs, **quietly
        )
        buttons["Matrix"].click(Choice.cleared, choice, choice, **quietly).then(
            show, inputs, outputs, **quietly
        )
        upload.upload(received, [upload, *inputs], [said, contents, motions, *outputs], **quietly)
        mp4.click(saved, last, link, **quietly).then(None, None, None, js=SAVE)
    return blocks


def _pickers(stage: Stage, stills: list[Any], moving: list[Any]) -> tuple[Any, ...]:
    """Contents, as pictures and on a map; motions, which move; an own video, and what is said of it."""
    still: Any = {"show_label": False, "interactive": False, "buttons": []}
    gallery = {**still, "height": 250, "object_fit": "contain", "allow_preview": False}
    label = next(
        (k for k in stage.entries[0].labels if len({e.labels[k] for e in stage.entries}) > 1), None
    )
    with gr.Tabs(overflow_behavior="wrap"):
        with gr.Tab("Content: pick who"):
            contents = gr.Gallery(stills, elem_id="contents", elem_classes="pick", **gallery)
        with gr.Tab("on a map"):
            image = atlas(stage.entries, stage.directions.places, label)
            chart = gr.Image(image, format="png", elem_id="map", **still)
            edge = f", edged by {label}" if label else ""
            gr.Markdown(f"The first two principal directions of f{edge}. Click to pick.")
    gr.Markdown("**Motion: pick what they do**")
    motions = gr.Gallery(moving, elem_id="motions", elem_classes="pick", **gallery)
    upload = gr.UploadButton(
        "Add a video of your own", file_types=["video", ".gif"], size="sm", elem_id="upload"
    )
    return contents, chart, motions, upload, gr.Markdown(elem_id="said")


def _controls(tab: str, stage: Stage, controls: dict[str, Any], buttons: dict[str, Any]) -> None:
    """The controls of a tab by name, and its button by the tab's name."""

    def slider(name: str, low: float, high: float, value: float, step: float, label: str) -> None:
        controls[name] = gr.Slider(
            low,
            high,
            value,
            step=step,
            label=label,
            min_width=220,
            elem_id=f"slide-{name}".replace(" ", "-"),
        )

    longest = max(len(entry.x) for entry in stage.entries)
    if tab == "Walk":
        with gr.Row():
            slider("content", 0, 1, 0.5, 0.05, "content")
            slider("motion", 0, 1, 1, 0.05, "motion")
    if tab == "Directions":
        for site, axes in (("f", stage.directions.f), ("z", stage.directions.z)):
            with gr.Row():
                for i in range(len(axes)):
                    slider(f"{site} {i + 1}", -3, 3, 0, 0.1, f"{site}, direction {i + 1}")
    if tab == "Fresh":
        controls["what"] = gr.Radio(
            [MOTIONS, CONTENTS], value=MOTIONS, show_label=False, elem_id="what"
        )
        slider("steps", 4, 64, 24, 1, "frames")
    if tab == "Forecast":
        with gr.Row():
            slider("seen", 1, max(2, longest), max(1, longest // 2), 1, "frames seen")
            slider("ahead", 1, 48, min(48, max(1, longest - longest // 2)), 1, "frames ahead")
    words = {
        "Directions": "All to 0",
        "Fresh": "Draw again",
        "Forecast": "Draw again",
        "Matrix": "Start anew",
    }
    if tab in words:
        buttons[tab] = gr.Button(words[tab], size="sm", elem_id=f"button-{tab.lower()}")


def _moving(entry: Entry, path: Path) -> str:
    path.write_bytes(film(entry.x[None], "gif"))
    return str(path)


def serve(blocks: gr.Blocks, *, host: str, port: int | None, browser: bool) -> str:
    """Serve the page from threads of its own; returns its address."""
    fonts = ["system-ui", "sans-serif"], ["ui-monospace", "monospace"]
    _, address, _ = blocks.launch(
        server_name=host,
        server_port=port,
        inbrowser=browser,
        share=False,
        quiet=True,
        footer_links=[],
        max_file_size=LARGEST,
        ssr_mode=False,
        theme=gr.themes.Default(font=fonts[0], font_mono=fonts[1]),
        css=CSS,
        prevent_thread_lock=True,
        app_kwargs={"middleware": [Middleware(NothingOutside)]},
    )
    return address
