"""Series of several channels, such as sensors or joints: what stays, apart from what happens.

Nine men say one vowel, twelve coefficients a moment (Kudo et al., Japanese Vowels, UCI, CC BY 4.0; the
package aeon ships it). Trains a disentangled sequential autoencoder (Li & Mandt, ICML 2018) and asks of
utterances not trained on whether a linear probe finds the speaker in f, and in z. Or on your own series.

    pip install --no-deps aeon && python examples/series.py      # seconds to minutes on a laptop
    python examples/series.py --root DIR                         # DIR/SERIES.csv or .npy, a moment a row
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import GUIDES, Pair, Preset, Run, find_data, held_out
from matplotlib.figure import Figure
from options import at_least, parser, share
from torch import Tensor, nn
from videos import features, motion, probe, write_features

import pyro_dsae
from pyro_dsae.data import Series

PRESETS = {
    "quick": Preset(
        0, f_dim=16, z_dim=4, channels=16, hidden=64, batch_size=64, steps=1500, lr=2e-3
    ),
    "large": Preset(
        0, f_dim=32, z_dim=8, channels=64, hidden=256, batch_size=128, steps=10_000, lr=1e-3
    ),
}
"""``size`` is the number of channels, which the data says."""
VOWELS = "JapaneseVowels"
LONGEST = 16  # moments of a window, unless asked for


def make_pair(preset: Preset, channels: int, guide: str) -> Pair:
    """Model and guide of frames ``(channels,)``."""
    frame, sizes = (channels,), preset.networks
    model = pyro_dsae.DSAE(frame, likelihood="normal", **sizes)
    return model, GUIDES[guide](frame, content_encoder=True, **sizes)


def weights(steps: int) -> dict[str, Any]:
    """KL weights: z is the dearer, so that it leaves to f what stays, as for speech."""
    return {"f": 1.0, "z": 2.0}


def vowels_folder() -> Path | None:
    """The Japanese Vowels, beside the project or in the package aeon, which is not imported."""
    spec = find_spec("aeon")
    inside = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    found = [place / "datasets" / "data" / VOWELS for place in inside]
    return find_data(VOWELS) or next((folder for folder in found if folder.is_dir()), None)


def read_ts(path: Path) -> tuple[list[np.ndarray], list[str]]:
    """Series ``(T, channels)`` and labels of a .ts file: channels between colons, the label last."""
    series, labels, lines = [], [], iter(path.read_text().splitlines())
    for line in lines:
        if line.strip().lower() == "@data":
            break
    for number, line in enumerate(filter(str.strip, lines), 1):
        *channels, label = line.split(":")
        try:
            series.append(np.array([c.split(",") for c in channels], float).T)
        except ValueError as error:
            raise ValueError(f"{path} must hold numbers, got series {number}: {error}") from error
        labels.append(label.strip())
    return series, labels


def load(
    root: Path, window: int | None, others: float, seed: int, learnt: str | None = None
) -> tuple[Series, list[int], list[int], list[str]]:
    """All series in windows, which to learn from, which to test on, and of the vowels who speaks.

    Those of a model that has ``learnt`` already are of its windows and its scaling.
    """
    names: list[str] = []
    if (root / f"{VOWELS}_TRAIN.ts").is_file():
        parts = [read_ts(root / f"{VOWELS}_{split}.ts") for split in ("TRAIN", "TEST")]
        given: Any = parts[0][0] + parts[1][0]
        names = parts[0][1] + parts[1][1]
        learn = [*range(len(parts[0][0]))]
        rest = [*range(len(learn), len(given))]
    else:
        given = root
        count = len(Series(root, num_frames=None).names)
        learn, rest = held_out(count, others, seed, f"series in {root}")
    if learnt is not None:
        options = {} if window is None else {"num_frames": window}
        return pyro_dsae.load_data(learnt, given, **options), learn, rest, names
    whole = Series(given, num_frames=None)
    window = window or min(LONGEST, *whole.lengths)
    # Scaled by what is learnt from alone.
    scaling = Series(
        [whole.restore(whole.sequence(i).double()) for i in learn], num_frames=None
    ).scaling
    return Series(given, num_frames=window, scaling=scaling), learn, rest, names


def draw(run: Run, model: nn.Module, guide: nn.Module, series: Series) -> None:
    """Series not trained on, in their own units: rebuilt, in the dynamics of others, and forecast."""
    window = series.num_frames or 1
    shown = series.recordings[:: max(1, len(series.recordings) // 4)][:4]
    x = torch.stack([series.sequence(i)[:window] for i in shown]).to(run.device)
    seen = max(1, window // 2)
    future = pyro_dsae.forecast(model, guide, x[:, :seen], window - seen)[0]
    rows = {
        "rebuilt": pyro_dsae.reconstruct(model, guide, x),
        "in the dynamics of the next": pyro_dsae.swap(model, guide, x, x.roll(-1, 0)),
        f"forecast after {seen}": torch.cat([x[:, :seen], future], 1),
    }
    figure = Figure(figsize=(3 * len(x), 2.4 * len(rows)), layout="constrained")
    panels = figure.subplots(len(rows), len(x), sharex=True, squeeze=False)
    for (title, made), line in zip(rows.items(), panels, strict=True):
        for k, panel in enumerate(line):
            _lines(panel, series.restore(x[k]).cpu(), "-")
            _lines(panel, series.restore(made[k]).cpu(), "--")
            panel.set_title(f"{series.names[shown[k]]}, {title}", fontsize="small")
    figure.supxlabel("moment; solid as recorded, dashed as the model has it")
    figure.savefig(run.out / "series.png", dpi=120)


def _lines(panel: Any, x: Tensor, style: str) -> None:
    """The first three channels."""
    for channel, values in enumerate(x.T[:3]):
        panel.plot(values.numpy(), style, color=f"C{channel}", lw=1)


def table(scores: dict[str, float]) -> str:
    """Shares of speakers that a linear probe finds."""
    lines = ["The speaker, by a linear probe, of utterances not trained on"]
    return "\n".join([*lines, *(f"  {name:36}{value:10.1%}" for name, value in scores.items())])


def main() -> None:
    """Train, probe, draw, write features."""
    options = parser("series", "Series: what stays, apart from what happens.", [*PRESETS])
    options.add_argument(
        "--root", type=Path, help="a folder of .csv or .npy files (moments, channels)"
    )
    options.add_argument(
        "--frames", type=at_least(2), help="of a window (default: the shortest series, at most 16)"
    )
    options.add_argument("--guide", choices=tuple(GUIDES), default="factorised")
    options.add_argument("--held-out", type=share, default=0.2, help="share of series to test on")
    args = options.parse_args()
    root = args.root or vowels_folder()
    if root is None:
        options.error(
            "no series at hand: --root DIR with .csv or .npy files, or pip install --no-deps aeon, whose "
            "package holds the Japanese Vowels"
        )
    run, preset = Run(options, args), PRESETS[args.preset]
    with run.reading():
        series, learn, others, speakers = load(
            root, args.frames, args.held_out, args.seed, args.evaluate
        )
    run.learns(root, *([series.names[i] for i in part] for part in (learn, others)))
    run.say(
        f"{root.name}: {len(series.names)} series of {min(series.lengths)} to {max(series.lengths)} "
        f"moments, {len(series.channels)} channels; windows of {series.num_frames}"
    )
    draws = max(1, -(-8 * preset.batch_size // len(learn)))
    train, test = series.select(learn, draws=draws), series.select(others, windows="tiled")
    model, guide = run.trained(
        lambda: make_pair(preset, len(series.channels), args.guide),
        train,
        preset,
        kl_weights=weights,
    )
    run.alone()
    run.say("features of every series")
    found = features(guide, series, run.device)
    write_features(found, run.out)
    figures: dict[str, Any] = {}
    if speakers:
        said = [[speakers[i] for i in index] for index in (learn, others)]
        means = np.stack([series.sequence(i).mean(0).numpy() for i in range(len(series.names))])
        told = {"f": found["f"], "z": motion(found), "mean of the series": means}
        scores = {name: probe(x[learn], x[others], *said) for name, x in told.items()}
        figures["speaker"] = scores | {"chance": 1 / len({*speakers})}
    torch.manual_seed(args.seed)
    figures["elbo"] = run.elbo(model, guide, train, test)
    run.say("a picture")
    torch.manual_seed(args.seed)
    draw(run, model, guide, test)
    figures["run"] = run.figures(model, guide)
    run.finish(figures, table(figures["speaker"]) if speakers else None)


if __name__ == "__main__":
    main()
