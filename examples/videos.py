"""Videos: what is in a clip, apart from how it moves. Your own, or clips that this makes itself.

Looks at the clips, trains a disentangled sequential autoencoder (Li & Mandt, ICML 2018) on windows of them,
and leaves swaps, forecasts, neighbours, and a table of features of every clip. Of its own clips, of
moving shapes, it also asks whether f tells colour and shape, and z the path, of clips not trained on.

    python examples/videos.py                       # minutes on a laptop, nothing to download
    python examples/videos.py --root CLIPS          # CLIPS/clip.mp4, CLIPS/CLASS/clip.mp4, CLIPS/clip/1.png
"""

from __future__ import annotations

import csv
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from common import CACHE, GUIDES, SMALL, Pair, Preset, Run, held_out
from options import at_least, number, parser, share
from torch import nn

import pyro_dsae
from pyro_dsae import plotting, views
from pyro_dsae.data import Clips, write_shapes

PRESETS = {
    "quick": replace(SMALL, steps=1600),
    "large": Preset(
        64,
        f_dim=64,
        z_dim=16,
        channels=64,
        hidden=256,
        batch_size=64,
        steps=14_000,
        lr=1e-3,
        schedule="warmup_cosine",
        prior="mixture",
        content_prior="flow",
    ),
}
OWN = 400  # clips that are made where there is no --root
LONGEST = 16  # frames of a window, unless asked for


def make_pair(preset: Preset, guide: str) -> Pair:
    """Model and guide. f is pooled over places and sees two frames, z sees colours mixed at random."""
    frame, sizes = (3, preset.size, preset.size), preset.networks
    laws = {"prior": preset.prior, "content_prior": preset.content_prior}
    return pyro_dsae.DSAE(frame, modulated=True, **laws, **sizes), GUIDES[guide](
        frame,
        content_encoder="pooled",
        few_frames=2,
        dynamics_view=views.Recolour(),
        **sizes,
    )


def weights(steps: int) -> dict[str, Any]:
    """KL weights: z is the dearer once it has been found, so that it leaves to f what stays."""
    return {"z": pyro_dsae.piecewise_linear((int(0.15 * steps), 1.0), (int(0.4 * steps) + 1, 8.0))}


def own_clips(root: Path, count: int, seed: int) -> Path:
    """A folder of moving shapes, made once and kept."""
    folder = root / f"shapes_{count}_{seed}"
    if not (folder / "whole").is_file():
        write_shapes(folder, count, seed=seed)
        (folder / "whole").touch()
    return folder


def load(
    root: Path, window: int | None, learnt: str | None, **options: Any
) -> tuple[Clips, list[str]]:
    """Clips in windows as long as nine in ten of them allow, and what there is, in words.

    :param window: frames, if they are known.
    :param learnt: a model; what is not among ``options``, and the window, are as it has learnt from.
    """
    read = Clips if learnt is None else partial(pyro_dsae.load_data, learnt)
    options["on_error"] = "skip"
    with warnings.catch_warnings():  # what is left out is said once, below
        warnings.simplefilter("ignore")
        whole = read(root, num_frames=None, pad=False, **options)
        if window is None and learnt is not None:
            window = read(root, pad=True, **options).num_frames
    lengths = [len(whole.frames(i)[1]) for i in range(len(whole))]
    window = window or max(2, min(LONGEST, int(np.quantile(lengths, 0.1))))
    short = sum(length < window for length in lengths)
    clips = read(root, num_frames=window, pad=short > 0, **options)
    height, width = clips.sequence(clips.recordings[0]).shape[-2:]
    rates = sorted({round(r, 2) for r in clips.rates if r is not None})
    sizes = sorted({*clips.sizes})
    words = [
        f"{root.name}: {len(lengths)} clips of {min(lengths)} to {max(lengths)} frames, "
        f"{_few(f'{width} x {height}' for height, width in sizes)}, "
        f"{_few(f'{r:g}' for r in rates) or 'no'} frames a second",
        f"windows of {window} frames at {width} x {height}",
        *([f"{short} clips are shorter, and are learnt from as they are"] if short else []),
    ]
    return clips, words


def _few(words: Any) -> str:
    """The first three of a list, and how many more."""
    words = [*words]
    more = f" and {len(words) - 3} others" if len(words) > 3 else ""
    return ", ".join(words[:3]) + more


def milliseconds(clips: Clips) -> int:
    """Between two frames that are taken, as they were recorded; 125 of images, which have no times."""
    settings, rates = clips.settings, [rate for rate in clips.rates if rate]
    if not rates:
        return 125
    return max(10, round(1000 / (settings.get("rate") or median(rates) / settings["stride"])))


def features(guide: nn.Module, clips: Clips, device: torch.device) -> dict[str, np.ndarray]:
    """``f`` ``(clips, f_dim)``, ``z`` ``(clips, longest, z_dim)``, NaN past the end, ``name`` and ``length``.

    f is the mean over windows that cover a clip, z is of the last window that holds its frame.
    """
    contents, dynamics = [], []
    for i in clips.recordings:
        x = clips.sequence(i)
        window = min(clips.num_frames or 1, len(x))
        starts = sorted({*range(0, len(x) - window + 1, window), len(x) - window})
        latents = pyro_dsae.infer(
            guide, torch.stack([x[s : s + window] for s in starts]).to(device)
        )
        z = torch.empty(len(x), latents["z"].shape[-1])
        for start, part in zip(starts, latents["z"].cpu(), strict=True):
            z[start : start + window] = part
        contents.append(latents["f"].mean(0).cpu())
        dynamics.append(z)
    padded = nn.utils.rnn.pad_sequence(dynamics, batch_first=True, padding_value=float("nan"))
    return {
        "f": torch.stack(contents).numpy(),
        "z": padded.numpy(),
        "name": np.array([clips.names[i] for i in clips.recordings]),
        "length": np.array([len(z) for z in dynamics]),
    }


def write_features(found: dict[str, np.ndarray], folder: Path) -> None:
    """``features.npz``, and ``features.csv`` with f and the mean and deviation of z."""
    np.savez(folder / "features.npz", **found)  # type: ignore[arg-type]
    z = found["z"]
    columns = {"f": found["f"], "z_mean": np.nanmean(z, 1), "z_std": np.nanstd(z, 1)}
    heads = [f"{name}{i}" for name, values in columns.items() for i in range(values.shape[1])]
    with (folder / "features.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["name", "length", *heads])
        values = np.concatenate([*columns.values()], 1)
        for name, length, row in zip(found["name"], found["length"], values, strict=True):
            rows.writerow([name, length, *(f"{value:.6g}" for value in row)])


def motion(found: dict[str, np.ndarray]) -> np.ndarray:
    """What z does over a clip: its mean, and its covariances with itself and with the next step's."""
    rows = []
    for z, length in zip(found["z"], found["length"], strict=True):
        z = z[:length] - z[:length].mean(0)
        parts = (
            found["z"][len(rows), :length].mean(0),
            z.T @ z / length,
            z[:-1].T @ z[1:] / length,
        )
        rows.append(np.concatenate([part.ravel() for part in parts]))
    return np.stack(rows)


def probe(train: np.ndarray, test: np.ndarray, learn: list[str], ask: list[str]) -> float:
    """Share of ``ask`` that a linear map of ``test`` finds, fitted by ridge regression on ``train``."""
    names = sorted({*learn})
    mean, scale = train.mean(0), train.std(0) + 1e-6
    a, b = (np.c_[(x - mean) / scale, np.ones(len(x))] for x in (train, test))
    targets = np.array([[name == other for other in names] for name in learn], float)
    solved = np.linalg.solve(a.T @ a + 1e-1 * np.eye(a.shape[1]), a.T @ targets)
    return float(
        np.mean([names[k] == name for k, name in zip((b @ solved).argmax(1), ask, strict=True)])
    )


def probes(train: dict[str, np.ndarray], test: dict[str, np.ndarray]) -> dict[str, Any]:
    """Of our own clips: what f and z tell of colour, shape and path, which their names say."""
    scores: dict[str, Any] = {}
    words = [[name.split("_")[1:] for name in found["name"]] for found in (train, test)]
    for column, label in enumerate(("colour", "shape", "path")):
        learn, ask = ([row[column] for row in rows] for rows in words)
        scores[label] = {
            "f": probe(train["f"], test["f"], learn, ask),
            "z": probe(motion(train), motion(test), learn, ask),
            "chance": 1 / len({*learn}),
        }
    return scores


def draw(
    run: Run, model: nn.Module, guide: nn.Module, clips: Clips, found: dict[str, np.ndarray]
) -> None:
    """Pictures of what the model does with clips it was not trained on, and of all it knows of them."""
    out, window, pace = run.out, clips.num_frames or 1, milliseconds(clips)
    long = [i for i in clips.recordings if len(clips.sequence(i)) >= window]
    shown = (long or clips.recordings)[:: max(1, len(long) // 5)][:5]
    window = min(window, *(len(clips.sequence(i)) for i in shown))
    x = torch.stack([clips.sequence(i)[:window] for i in shown]).to(run.device)
    n = len(x)
    content, dynamics = (
        x.repeat_interleave(n, 0),
        x.repeat(n, *[1] * (x.dim() - 1)),
    )
    swapped = pyro_dsae.swap(model, guide, content, dynamics).unflatten(0, (n, n))
    for suffix in (".gif", ".mp4"):
        plotting.swap_figure(x, x, swapped, out / f"swap{suffix}", milliseconds=pace)
    reconstructed = pyro_dsae.reconstruct(model, guide, x)
    plotting.grid(torch.stack([x, reconstructed], 1).flatten(0, 1), out / "reconstructions")
    seen = max(1, window // 2)
    futures = pyro_dsae.forecast(model, guide, x[:, :seen], 2 * window - seen)[0]
    plotting.animate(torch.cat([x[:, :seen], futures], 1), out / "forecast", milliseconds=pace)
    latents = pyro_dsae.infer(guide, x)
    f, z = latents["f"], latents["z"]
    share_of = torch.linspace(0, 1, 7, device=f.device)[:, None]
    walk = pyro_dsae.generate(
        model, f=torch.lerp(f[:1], f[-1:], share_of), z=z[:1].expand(7, -1, -1)
    )
    plotting.grid(walk, out / "walk")
    plotting.animate(walk, out / "walk", columns=7, milliseconds=pace)
    plotting.timeline(z[0, :, :2], x[0], out / "timeline", extremes=min(3, window // 2))
    neighbours(clips, found, out / "neighbours")


def neighbours(clips: Clips, found: dict[str, np.ndarray], path: Path) -> Path:
    """Middle frames of some clips, each with those of the clips whose f lie nearest by angle."""
    f = torch.from_numpy(found["f"] - found["f"].mean(0))
    cosine = nn.functional.normalize(f, dim=1) @ nn.functional.normalize(f, dim=1).T
    order = cosine.fill_diagonal_(2.0).argsort(1, descending=True)[:: max(1, len(f) // 6), :6]
    middles = [
        clips.sequence(i)[int(found["length"][k]) // 2] for k, i in enumerate(clips.recordings)
    ]
    return plotting.grid(
        torch.stack([torch.stack([middles[k] for k in row]) for row in order[:6]]), path
    )


def table(scores: dict[str, Any]) -> str:
    """What a linear probe finds in f and in z, a label a row."""
    lines = [f"Found by a linear probe, unseen clips{'f':>10}{'z':>10}{'chance':>10}"]
    for label, row in scores.items():
        cells = "".join(f"{row[key]:10.1%}" for key in ("f", "z", "chance"))
        lines.append(f"  {label:35}{cells}")
    return "\n".join(lines)


def main() -> None:
    """Look, train, draw, write features."""
    options = parser("videos", "Videos: what is in a clip, apart from how it moves.", [*PRESETS])
    options.add_argument("--root", type=Path, help="a folder of clips (default: makes its own)")
    options.add_argument("--size", type=at_least(16), help="pixels (default: the preset's)")
    options.add_argument(
        "--frames", type=at_least(2), help="of a window (default: what the clips allow, at most 16)"
    )
    speed = options.add_mutually_exclusive_group()
    speed.add_argument("--stride", type=at_least(1), help="take every so many-th frame")
    speed.add_argument(
        "--rate",
        type=number(float, "a number above 0", lambda value: 0 < value < float("inf")),
        help="frames a second to take, whatever a file's (default: the files' own)",
    )
    options.add_argument("--guide", choices=tuple(GUIDES), default="factorised")
    options.add_argument("--held-out", type=share, default=0.2, help="share of clips to test on")
    options.add_argument(
        "--clips", type=at_least(8), default=OWN, help="to make, where there is no --root"
    )
    args = options.parse_args()
    run = Run(options, args)
    preset = PRESETS[args.preset]
    preset = replace(preset, size=args.size or preset.size)
    size = None if args.evaluate else preset.size  # else that of the model's own clips
    asked = {"size": args.size or size, "stride": args.stride, "rate": args.rate}
    asked = {name: value for name, value in asked.items() if value is not None}
    with run.reading():
        if args.root is None:
            run.say("clips of moving shapes, made here; for your own: --root DIR")
        root = args.root or own_clips(CACHE, args.clips, args.seed)
        clips, words = load(root, args.frames, args.evaluate, **asked)
        learn, others = held_out(len(clips.names), args.held_out, args.seed, f"clips in {root}")
    run.learns(root, *([clips.names[i] for i in part] for part in (learn, others)))
    for line in words:
        run.say(line)
    # Few clips make short epochs: each is drawn from often enough to fill some batches.
    draws = max(1, -(-8 * preset.batch_size // len(learn)))
    train, test = clips.select(learn, draws=draws), clips.select(others, windows="tiled")
    run.say(f"{len(learn)} clips to learn from, {len(others)} others to test on")

    model, guide = run.trained(
        lambda: make_pair(preset, args.guide), train, preset, kl_weights=weights
    )
    run.alone()
    run.say("features of every clip")
    found = features(guide, clips.select([*range(len(clips.names))]), run.device)
    write_features(found, run.out)
    figures: dict[str, Any] = {"clips": {"train": len(learn), "test": len(others)}}
    if args.root is None:
        parts = [
            {name: values[index] for name, values in found.items()} for index in (learn, others)
        ]
        figures["probe"] = probes(*parts)
    torch.manual_seed(args.seed)
    figures["elbo"] = run.elbo(model, guide, train, test)
    run.say("pictures")
    torch.manual_seed(args.seed)
    draw(run, model, guide, test, {name: values[others] for name, values in found.items()})
    figures["run"] = run.figures(model, guide)
    run.finish(figures, table(figures["probe"]) if args.root is None else None)


if __name__ == "__main__":
    main()
