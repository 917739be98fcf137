"""The page: controls of Gradio around :mod:`pyro_dsae.app.pictures`. Choices live in the browser's session."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from torch import Tensor, nn

from . import pictures
from .atlas import atlas, nearest, thumbnail
from .directions import Directions
from .entries import Entry, check_shown, read_clip
from .films import MILLISECONDS, card, figure, film, kinds, swap_film
from .pictures import looped
from .snippets import snippet

MOST_UPLOADS = 4  # of a session
MOST_ROWS = 6  # and columns of the matrix
DRAWS = 4
LARGEST = "16mb"  # of an upload
POLICY = "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'"
MOTIONS, CONTENTS = "motions for this content", "contents for this motion"

CSS = """
.gradio-container { max-width: 76rem !important; margin: auto; }
figure.film { margin: 0 auto; max-width: 100%; }
figure.film img { width: 100%; image-rendering: pixelated; border-radius: 4px; }
figure.film figcaption { display: grid; grid-auto-flow: column; grid-auto-columns: 1fr;
  text-align: center; font-size: .9rem; padding-top: .3rem; overflow-wrap: anywhere; }
figure.film p { text-align: center; margin: .6rem 0 0; }
figure.film a { margin: 0 .3rem; text-decoration: underline; }
.pick .thumbnail-item img { image-rendering: pixelated; }
.map img { image-rendering: pixelated; cursor: crosshair; }
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


class Stage:
    """What the tabs show, as HTML and lines of Pyro, from the choices of one session.

    :param pair: folder or id of the pair, as the lines name it.
    """

    def __init__(
        self, model: nn.Module, guide: nn.Module, entries: Sequence[Entry], pair: str
    ) -> None:
        check_shown(model, guide)
        if len(entries) < 2:
            raise ValueError(f"the explorer needs at least 2 sequences, got {len(entries)}")
        self.model, self.guide, self.entries, self.pair = model, guide, [*entries], pair
        self.directions = Directions.of(entries)

    def swap(self, a: Entry, b: Entry) -> tuple[str, str]:
        shown = pictures.swap(self.model, a, b)
        captions = ["content", "motion", "content in motion"]
        return card(shown, captions, "swap"), snippet("Swap", self.pair)

    def walk(self, a: Entry, b: Entry, content: float, motion: float) -> tuple[str, str]:
        between = pictures.mixed(self.model, a, b, content, motion)[0]
        shown = [looped(a.x, len(b.x)), between, b.x]
        html = card(_going_on(shown), ["from", "between", "to"], "walk")
        return html, snippet("Walk", self.pair, content_share=content, motion_share=motion)

    def move(self, a: Entry, b: Entry, *moves: float) -> tuple[str, str]:
        count = len(self.directions.f)
        f, z = moves[:count], moves[count:]
        shown = pictures.moved(self.model, a, b, self.directions, f, z)
        values = {"f_moves": [*f], "z_moves": [*z], "f_count": len(f), "z_count": len(z)}
        html = card(_going_on([*shown]), ["as it is", "moved"], "directions")
        return html, snippet("Directions", self.pair, **values)

    def fresh(self, a: Entry, b: Entry, what: str, steps: int) -> tuple[str, str]:
        make, entry = {
            MOTIONS: (pictures.fresh_dynamics, a),
            CONTENTS: (pictures.fresh_contents, b),
        }[what]
        kind = {MOTIONS: "Fresh motions", CONTENTS: "Fresh contents"}[what]
        shown = make(self.model, entry, int(steps), DRAWS)
        html = card(shown, [f"draw {i + 1}" for i in range(DRAWS)], kind.lower().replace(" ", "-"))
        return html, snippet(kind, self.pair, draws=DRAWS, steps=int(steps))

    def forecast(self, b: Entry, seen: int, ahead: int) -> tuple[str, str]:
        seen = max(1, min(int(seen), len(b.x)))
        shown = pictures.forecasts(self.model, self.guide, b, seen, int(ahead), DRAWS - 1)
        captions = ["as it went on", *(f"future {i + 1}" for i in range(DRAWS - 1))]
        lines = snippet("Forecast", self.pair, seen=seen, ahead=int(ahead), futures=DRAWS - 1)
        return card(shown, captions, "forecast"), lines

    def matrix(self, contents: Sequence[Entry], motions: Sequence[Entry]) -> tuple[str, str]:
        cells = pictures.matrix(self.model, contents, motions)
        steps = cells.shape[2]
        rows, columns = (
            torch.stack([looped(entry.x, steps) for entry in some]) for some in (contents, motions)
        )
        films = {kind: swap_film(rows, columns, cells, kind) for kind in kinds()}
        html = figure(films, [], "matrix", f"min(100%, {7 * (1 + len(motions))}rem)")
        return html, snippet("Matrix", self.pair, steps=steps)


def _going_on(sequences: Sequence[Tensor]) -> Tensor:
    """Begun at the frame that the clock is at: a film that takes another's place goes on where that was."""
    shown = torch.stack([*sequences])
    return shown.roll(-int(1000 * time.monotonic() / MILLISECONDS), dims=1)


def build(stage: Stage, folder: str | Path, *, about: str = "") -> gr.Blocks:
    """The page, not yet served.

    :param folder: a temporary one, for the moving thumbnails.
    :param about: a line below the title.
    """
    entries, directions = stage.entries, stage.directions
    stills = [(thumbnail(entry), entry.name) for entry in entries]
    moving = [
        (_moving(entry, Path(folder, f"{i}.gif")), e.name)
        for i, e in enumerate(entries)
        for entry in [e]
    ]
    label = next((k for k, v in _varied(entries).items() if len(v) > 1), None)
    longest = max(len(entry.x) for entry in entries)
    controls: list[Any] = []

    def added(control: Any) -> Any:
        controls.append(control)
        return control

    blocks = gr.Blocks(
        analytics_enabled=False, title="pyro-dsae explorer", delete_cache=(600, 3600)
    )
    with blocks:
        gr.Markdown(f"# Who, and what do they do?\n{about}")
        who, what, active = gr.State(0), gr.State(1), gr.State("Swap")
        mine, rows, columns = gr.State(()), gr.State((0,)), gr.State((1,))
        with gr.Row():
            with gr.Column(scale=2, min_width=320):
                options: Any = {
                    "columns": 6,
                    "height": 250,
                    "object_fit": "contain",
                    "allow_preview": False,
                    "interactive": False,
                    "buttons": [],
                    "elem_classes": "pick",
                }
                with gr.Tab("Content: pick who"):
                    contents = gr.Gallery(stills, show_label=False, elem_id="contents", **options)
                with gr.Tab("on a map"):
                    chart = gr.Image(
                        atlas(entries, directions.places, label),
                        show_label=False,
                        interactive=False,
                        buttons=[],
                        format="png",
                        elem_id="map",
                        elem_classes="map",
                    )
                    edge = f", edged by {label}" if label else ""
                    gr.Markdown(f"The first two principal directions of f{edge}. Click to pick.")
                gr.Markdown("**Motion: pick what they do**")
                motions = gr.Gallery(moving, show_label=False, elem_id="motions", **options)
                upload = gr.UploadButton(
                    "Add a video of your own",
                    file_types=["video", ".gif"],
                    size="sm",
                    elem_id="upload",
                )
                said = gr.Markdown(elem_id="said")
            with gr.Column(scale=3, min_width=320):
                tabs = []
                with gr.Tab("Swap") as tab:
                    gr.Markdown("The content of one sequence in the motion of another.")
                tabs.append(tab)
                with gr.Tab("Walk") as tab:
                    gr.Markdown("From one to the other, content and motion apart.")
                    with gr.Row():
                        added(
                            gr.Slider(0, 1, 0.5, step=0.05, label="content", elem_id="walk-content")
                        )
                        added(gr.Slider(0, 1, 1, step=0.05, label="motion", elem_id="walk-motion"))
                tabs.append(tab)
                with gr.Tab("Directions") as tab:
                    gr.Markdown("Along principal directions, in standard deviations.")
                    moves = []
                    for site, axes in (("f", directions.f), ("z", directions.z)):
                        with gr.Row():
                            for i in range(len(axes)):
                                name = f"{site} {i + 1}"
                                slider = gr.Slider(
                                    *(-3, 3, 0),
                                    step=0.1,
                                    label=name,
                                    min_width=120,
                                    elem_id=name.replace(" ", "-"),
                                )
                                moves.append(added(slider))
                    reset = gr.Button("All to 0", size="sm")
                tabs.append(tab)
                with gr.Tab("Fresh") as tab:
                    gr.Markdown("Drawn from the prior, of any length.")
                    added(
                        gr.Radio(
                            [MOTIONS, CONTENTS], value=MOTIONS, show_label=False, elem_id="fresh"
                        )
                    )
                    added(gr.Slider(4, 64, 24, step=1, label="frames", elem_id="steps"))
                    again = gr.Button("Draw again", size="sm", elem_id="again")
                tabs.append(tab)
                with gr.Tab("Forecast") as tab:
                    gr.Markdown(
                        "The motion's own sequence is seen up to a frame (faded), then goes on."
                    )
                    with gr.Row():
                        stop = max(1, longest // 2)
                        added(
                            gr.Slider(1, longest, stop, step=1, label="frames seen", elem_id="seen")
                        )
                        added(gr.Slider(1, 48, 12, step=1, label="frames ahead", elem_id="ahead"))
                    anew = gr.Button("Draw again", size="sm")
                tabs.append(tab)
                with gr.Tab("Matrix") as tab:
                    gr.Markdown("Each content picked adds a row, each motion a column.")
                    clear = gr.Button("Start anew", size="sm", elem_id="clear")
                tabs.append(tab)
                with gr.Column(elem_id="stage"):
                    html, lines = stage.swap(entries[0], entries[1])
                    film_ = gr.HTML(html, elem_id="film")
                with gr.Accordion("The lines of Pyro that made it", open=False):
                    code = gr.Code(
                        lines,
                        language="python",
                        interactive=False,
                        show_label=False,
                        elem_id="code",
                    )

        chosen = [active, who, what, mine, rows, columns]
        shown = [film_, code]

        def draw(
            tab: str, a: int, b: int, own: tuple[Entry, ...], r: tuple[int, ...], c: tuple[int, ...],
            *values: Any,
        ) -> tuple[str, str]:  # fmt: skip
            known = [*entries, *own]
            content, motion = known[a], known[b]
            walk, rest = values[:2], values[2:]
            moved, (fresh, steps, seen, ahead) = rest[: len(moves)], rest[len(moves) :]
            views: dict[str, Callable[[], tuple[str, str]]] = {
                "Swap": lambda: stage.swap(content, motion),
                "Walk": lambda: stage.walk(content, motion, *walk),
                "Directions": lambda: stage.move(content, motion, *moved),
                "Fresh": lambda: stage.fresh(content, motion, fresh, steps),
                "Forecast": lambda: stage.forecast(motion, seen, ahead),
                "Matrix": lambda: stage.matrix([known[i] for i in r], [known[i] for i in c]),
            }
            return views[tab]()

        def opened(tab: str, _: str, *values: Any) -> tuple[str, str, str]:
            return tab, *draw(tab, *values)

        def picked_content(
            event: gr.SelectData, tab: str, a: int, b: int, own: Any, r: Any, c: Any, *values: Any
        ) -> tuple[Any, ...]:
            at = event.index
            a = nearest(directions.places, *at) if isinstance(at, (list, tuple)) else int(at)
            r = _grown(r, a)
            return a, r, *draw(tab, a, b, own, r, c, *values)

        def picked_motion(
            event: gr.SelectData, tab: str, a: int, b: int, own: Any, r: Any, c: Any, *values: Any
        ) -> tuple[Any, ...]:
            b = int(event.index)
            c = _grown(c, b)
            return b, c, *draw(tab, a, b, own, r, c, *values)

        def uploaded(
            path: str, tab: str, a: int, b: int, own: Any, r: Any, c: Any, *values: Any
        ) -> tuple[Any, ...]:
            if len(own) >= MOST_UPLOADS:
                raise _Said(f"at most {MOST_UPLOADS} videos of your own")
            entry = read_clip(path, stage.model, stage.guide, Path(path).name)
            own, a = (*own, entry), len(entries) + len(own)
            r = _grown(r, a)
            more = [(thumbnail(e), e.name) for e in own]
            message = f"{entry.name}: {len(entry.x)} frames, last in both galleries. It is the content now."
            new = [*stills, *more], [*moving, *more]
            return message, *new, own, a, r, *draw(tab, a, b, own, r, c, *values)

        def received(path: str, *values: Any) -> Any:
            try:
                return uploaded(path, *values)
            except ValueError as error:
                return str(error), *[gr.skip()] * 7

        options = {"show_progress": "hidden", "api_visibility": "private"}
        inputs = [*chosen, *controls]
        for tab in tabs:
            tab.select(partial(opened, tab.label), inputs, [active, *shown], **options)
        for gallery in (contents, chart):
            gallery.select(picked_content, inputs, [who, rows, *shown], **options)
        motions.select(picked_motion, inputs, [what, columns, *shown], **options)
        for control in controls:
            control.input(draw, inputs, shown, trigger_mode="always_last", **options)
        for button in (again, anew):
            button.click(draw, inputs, shown, **options)
        reset.click(lambda: [0] * len(moves), None, moves, **options).then(
            draw, inputs, shown, **options
        )
        clear.click(lambda a, b: ((a,), (b,)), [who, what], [rows, columns], **options).then(
            draw, inputs, shown, **options
        )
        upload.upload(
            received,
            [upload, *inputs],
            [said, contents, motions, mine, who, rows, *shown],
            **options,
        )
    return blocks


class _Said(ValueError):
    """What the page says in place of a picture."""


def _moving(entry: Entry, path: Path) -> str:
    path.write_bytes(film(entry.x[None], "gif"))
    return str(path)


def _varied(entries: Sequence[Entry]) -> dict[str, set[int]]:
    """Labels and their values."""
    names = dict.fromkeys(name for entry in entries for name in entry.labels)
    return {name: {entry.labels[name] for entry in entries} for name in names}


def _grown(chosen: tuple[int, ...], new: int) -> tuple[int, ...]:
    """With one more at the end, which stands there once; the oldest falls out."""
    return (*(i for i in chosen if i != new), new)[-MOST_ROWS:]


def serve(
    blocks: gr.Blocks, *, host: str, port: int | None, browser: bool, block: bool = True
) -> str:
    """Serve the page; returns its address, if it does not block."""
    from starlette.middleware import Middleware

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
        prevent_thread_lock=not block,
        app_kwargs={"middleware": [Middleware(NothingOutside)]},
    )
    return address
