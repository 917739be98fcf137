"""The page of voices: controls of Gradio around :mod:`pyro_dsae.app.recordings`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from .recordings import LONGEST, PARTS, Studio

HINT = f"Record, or drop a file: at most {LONGEST:g} seconds each, a voice better with 5 or more."


def build_voices(studio: Studio, *, about: str = "") -> gr.Blocks:
    """The page, not yet served.

    :param about: a line below the title.
    """
    with gr.Blocks(
        analytics_enabled=False, title="pyro-dsae voices", delete_cache=(600, 3600)
    ) as blocks:
        gr.Markdown(f"# Who speaks, and what is said?\n{about}")
        with gr.Row(elem_id="main"):
            with gr.Column(scale=2, min_width=320):
                recordings = [
                    gr.Audio(
                        sources=["upload", "microphone"],
                        type="filepath",
                        label=label.capitalize(),
                        editable=False,
                        buttons=[],
                        elem_id=part,
                    )
                    for part, label in PARTS.items()
                ]
                gr.Markdown(HINT)
            with gr.Column(scale=3, min_width=320):
                button = gr.Button("Say it in that voice", variant="primary", elem_id="convert")
                said = gr.Markdown(elem_id="said")
                heard = gr.HTML(elem_id="heard")
                with gr.Accordion("The lines of Pyro that made it", open=False):
                    code = gr.Code(
                        language="python",
                        interactive=False,
                        show_label=False,
                        wrap_lines=True,
                        elem_id="code",
                    )

        def convert(*paths: str | None) -> tuple[Any, ...]:
            for path, label in zip(paths, PARTS.values(), strict=True):
                if path is None:
                    return f"There is no recording yet of {label}.", gr.skip(), gr.skip()
            content, voice = (Path(str(path)) for path in paths)
            try:
                found = studio.convert(content, voice, (content.name, voice.name))
            except ValueError as error:
                return str(error), gr.skip(), gr.skip()
            return "", found.html(), found.lines

        quietly: Any = {"show_progress": "minimal", "api_visibility": "private"}
        button.click(convert, recordings, [said, heard, code], **quietly)
    return blocks
