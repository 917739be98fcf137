"""Speech: who speaks, apart from what is said, in segments of 200 ms.

Trains the models of Li & Mandt (ICML 2018), section 4.2, asks of speakers never heard whether two utterances
are of one voice, and says the sentences of men in the voices of women, and the other way round.

    python examples/speech.py                          # AN4, where it is at hand; minutes on a laptop
    python examples/speech.py --root TIMIT             # TIMIT, or DIR/[SPLIT/]SPEAKER/UTTERANCE.wav
    python examples/speech.py --models all             # all that the paper compares
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import GUIDES, Pair, Preset, Run, find_data, held_out, some
from options import Distinct, at_least, number, parser, share
from torch import nn

import pyro_dsae
from pyro_dsae import conversion, metrics, plotting
from pyro_dsae.data import LogSpectrum, SpeechSegments
from pyro_dsae.data.speech import lowest_rate

PRESETS = {
    "quick": Preset(
        200, f_dim=64, z_dim=16, channels=16, hidden=128, batch_size=128, steps=1500, lr=2e-3
    ),
    "paper": Preset(
        200,
        f_dim=64,
        z_dim=64,
        channels=64,
        hidden=512,
        batch_size=256,
        steps=40_000,
        lr=1e-3,
        schedule="warmup_cosine",
    ),
}
MODELS = ("factorised_64", "factorised_16", "full_64", "full_16", "fhvae_0", "fhvae_10")
WINDOW, RATES = 0.050, (8_000, 16_000, 24_000)  # seconds; samples a second: least, usual, most
SILENCE = 30.0  # dB below the loudest segment of an utterance
HOP = conversion.HOP  # frames between the segments of training, too
VALIDATION = 10  # training speakers to choose settings on


def make_pair(preset: Preset, name: str, utterances: int) -> Pair:
    """Model and guide of one of ``MODELS``; its number is the size of f, or FHVAE's alpha."""
    kind, number = name.split("_")
    frame, size = (preset.size,), int(number)
    if kind == "fhvae":
        sizes = {"hidden": preset.hidden, "channels": preset.channels}
        return pyro_dsae.FHVAE(frame, **sizes), pyro_dsae.FHVAEGuide(
            frame, utterances=utterances, discriminative=size, **sizes
        )
    networks = {**preset.networks, "f_dim": size, "z_dim": min(size, preset.z_dim)}
    model = pyro_dsae.DSAE(frame, likelihood="normal", **networks)
    return model, GUIDES[kind](frame, content_encoder=True, **networks)


def weights(steps: int) -> dict[str, Any]:
    """KL weights of DSAE: z is the dearer, so that it leaves the voice to f; see docs/speech.md."""
    return {"f": 1.5, "z": 3.0}


Read = Callable[..., SpeechSegments]


def reader(rate: int) -> Read:
    """What reads recordings at so many samples a second."""
    return partial(SpeechSegments, spectrum=LogSpectrum(rate, window=WINDOW), silence=SILENCE)


def rate_of(root: Path) -> int:
    """Samples a second: as many as the recording with the fewest has, but no more than is usual."""
    least, usual, _ = RATES
    rate = min(usual, lowest_rate(root))
    if rate < least:
        raise ValueError(f"{root} must hold {least} samples a second or more, got {rate}")
    return rate


def load(
    root: Path, others: float, seed: int, *, read: Read | None = None, validate: bool = False
) -> tuple[SpeechSegments, SpeechSegments]:
    """Training and test data: the corpus' own splits, or a share of ``others`` of its speakers to test on.

    To ``validate``, 10 of the training speakers in place of those to test on, who have no part in it.
    By default they are read at :func:`rate_of` the folder.
    """
    read = read or reader(rate_of(root))

    def apart(names: list[str], share: float, what: str) -> list[list[str]]:
        parts = held_out(len(names), share, seed, f"{what} in {root}")
        return [[names[i] for i in index] for index in parts]

    splits: tuple[str | None, str | None] = (None, None)
    learn = rest = None
    if {"train", "test"} <= {path.name.lower() for path in root.iterdir() if path.is_dir()}:
        splits = ("train", "test")
    else:
        learn, rest = apart(read(root).speakers, others, "speakers")
    if validate:
        learn = learn or read(root, split=splits[0]).speakers
        learn, rest = apart(learn, VALIDATION / len(learn), "training speakers")
        splits = (splits[0], splits[0])
    train = read(root, split=splits[0], speakers=learn, segment_hop=HOP)
    test = read(root, split=splits[1], speakers=rest, scaling=train.scaling)
    heard = test.utterance_speaker[test.labels["utterance"].unique()].bincount()
    if (heard > 0).sum() < 2 or heard.max() < 2:
        raise ValueError(
            f"{root} must hold at least 2 speakers to test on, with 2 utterances of one of them, "
            f"got {heard.tolist()} utterances"
        )
    return train, test


def conversions(test: SpeechSegments, pairs: int, seed: int) -> list[tuple[int, int]]:
    """Pairs of utterances, source and target: a man's to a woman's and a woman's to a man's in turn.

    Where the sexes are not known, from one half of the speakers to the other.
    """
    generator = torch.Generator().manual_seed(seed)
    men = test.speaker_sex == 1
    if men.all() or not men.any() or (test.speaker_sex < 0).any():
        men = torch.arange(len(men)) % 2 == 1
    sides = [side[test.utterance_speaker].nonzero()[:, 0] for side in (men, ~men)]
    draws = [side[torch.randint(len(side), (pairs,), generator=generator)] for side in sides]
    return [
        (int(a), int(b)) if i % 2 == 0 else (int(b), int(a))
        for i, (a, b) in enumerate(zip(*draws, strict=True))
    ]


def draw(
    run: Run, model: nn.Module, guide: nn.Module, test: SpeechSegments, pairs: int
) -> dict[str, Any]:
    """Convert utterances; the first of each direction as sound and as spectrograms. How far pitch moved."""
    import soundfile

    folder = run.out / "conversion"
    folder.mkdir(exist_ok=True)
    heard: dict[str, list[np.ndarray]] = {"source": [], "target": [], "converted": []}
    for i, (source, target) in enumerate(conversions(test, pairs, run.options.seed)):
        speaker = int(test.utterance_speaker[target])
        frames = conversion.spoken(model, guide, test, source, speaker, hop=HOP)
        heard["source"].append(test.wave(source))
        heard["target"].append(test.wave(target))
        heard["converted"].append(test.sound(frames))
        if i < 2:
            own = conversion.spoken(model, guide, test, source, hop=HOP)
            shown = {
                "source": test.utterance(source),
                "reconstructed": own,
                "converted": frames,
                "target": test.utterance(target),
            }
            name = f"{i + 1}_{test.files[source].stem}_as_{test.files[target].stem}"
            plotting.spectrograms(
                {kind: test.restore(rows) for kind, rows in shown.items()},
                folder / f"{name}.png",
                hertz=test.spectrum.hertz,
            )
            sounds = {
                **{kind: waves[-1] for kind, waves in heard.items()},
                "reconstructed": test.sound(own),
            }
            for kind, wave in sounds.items():
                soundfile.write(folder / f"{name}_{kind}.wav", wave, test.spectrum.sample_rate)
    return metrics.conversion_pitch(*heard.values(), test.spectrum.sample_rate)


def verify(
    model: nn.Module, guide: nn.Module, test: SpeechSegments
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures and DET curves of the first site of content and of dynamics."""
    sites = (model.content[0], model.dynamics[0])
    features, _, speakers = metrics.utterance_features(
        metrics.static_and_dynamic(guide, sites), test
    )
    curves = {
        name: metrics.det_curve(*metrics.all_pairs(values, speakers))
        for name, values in features.items()
    }
    return {name: metrics.verify(values, speakers) for name, values in features.items()}, curves


def baseline(train: SpeechSegments, test: SpeechSegments) -> tuple[dict[str, Any], Any]:
    """The same of the mean and covariance of MFCCs."""
    features = [
        metrics.mfcc_features(
            [data.wave(i) for i in range(len(data.files))], data.spectrum.sample_rate
        )
        for data in (train, test)
    ]
    values = metrics.standardise(*features)
    curve = metrics.det_curve(*metrics.all_pairs(values, test.utterance_speaker))
    return {"mfcc": metrics.verify(values, test.utterance_speaker)}, curve


def table(verification: dict[str, Any], conversion: dict[str, Any]) -> str:
    """Equal error rates, a feature a row, and how far the pitch moved."""
    lines = ["Speaker verification, EER          static      dynamic"]
    for name, features in verification.items():
        cells = [
            f"{100 * value['eer']:6.2f}% [{100 * value['low']:.1f}, {100 * value['high']:.1f}]"
            if value["low"] is not None
            else f"{100 * value['eer']:6.2f}% of {value['speakers']} voices"
            for value in features.values()
        ]
        lines.append(f"  {name:16}" + "".join(f"{cell:>22}" for cell in cells))
    if conversion["pairs"]:
        moved, pairs = conversion["pitch_moved"], conversion["pairs"]
        lines.append(f"Pitch moved {moved:.0%} of the way, median of {pairs} conversions")
    return "\n".join(lines)


def main() -> None:
    """Train, verify, convert."""
    options = parser("speech", "Speech: who speaks, apart from what is said.")
    options.add_argument(
        "--root", type=Path, help="TIMIT, or a folder [SPLIT/]SPEAKER/UTTERANCE.wav"
    )
    options.add_argument(
        "--models",
        nargs="+",
        choices=(*MODELS, "all"),
        default=[MODELS[0]],
        action=Distinct,
        metavar="MODEL",
        help=f"of {', '.join(MODELS)}, or all",
    )
    options.add_argument(
        "--held-out", type=share, default=0.15, help="share of speakers to test on, without splits"
    )
    least, usual, most = RATES
    options.add_argument(
        "--sample-rate",
        type=number(
            int, f"a whole number from {least} to {most}", lambda value: least <= value <= most
        ),
        help=f"samples a second (default: those of the recording with the fewest, at most {usual})",
    )
    options.add_argument(
        "--pairs", type=at_least(1), default=40, help="conversions, half of them each way"
    )
    args = options.parse_args()
    root = args.root or find_data("an4")
    if root is None:
        options.error(
            "no speech at hand: --root DIR with TIMIT or a folder of recordings a speaker (for instance "
            "CMU AN4, speech.cs.cmu.edu/databases/an4), or PYRO_DSAE_DATA/an4"
        )
    if args.evaluate is not None and args.sample_rate is not None:
        options.error("--sample-rate is not for --evaluate: it is the model's")
    names = [*MODELS] if "all" in args.models else args.models
    several = names if len(names) > 1 else []
    run = Run(options, args, several)
    preset = run.preset(PRESETS)
    with run.reading():
        read = None if args.sample_rate is None else reader(args.sample_rate)
        if args.evaluate is not None:  # heard and scaled as the model has learnt to
            read = partial(pyro_dsae.load_data, args.evaluate)
        train, test = load(root, args.held_out, args.seed, read=read)
    run.say(
        f"{root.name}: {len(train)} segments of {len(train.speakers)} speakers to learn from, "
        f"{len(test)} of {len(test.speakers)} others to test on, "
        f"{test.spectrum.sample_rate} samples a second"
    )
    if args.root is None:
        run.say("for TIMIT or recordings of your own: --root DIR")

    verification, curves, parts = {}, {}, {}
    conversion: dict[str, Any] = {}
    for name in names:
        part = run.part(name) if several else run
        is_fhvae = name.startswith("fhvae")
        model, guide = part.trained(
            lambda name=name: make_pair(preset, name, len(train.files)),
            train,
            preset,
            kl_weights=(lambda steps: {}) if is_fhvae else weights,
            labels=("utterance", "segments") if is_fhvae else (),
        )
        if not run.is_first:
            continue
        run.say(f"{name}: verification")
        verification[name], rates = verify(model, guide, test)
        curves |= {f"{name}, {feature}": curve for feature, curve in rates.items()}
        if not conversion:
            run.say(f"{name}: conversion")
            conversion = draw(part, model, guide, test, args.pairs)
        parts[name] = {
            "elbo": part.elbo(model, guide, some(train, 2048), test),
            "run": part.figures(model, guide),
        }
    run.alone()
    run.say("the baseline: mean and covariance of MFCCs")
    verification["baseline"], curves["MFCC"] = baseline(train, test)
    plotting.det_figure(curves, run.out / "det")
    figures = {"verification": verification, "conversion": conversion, **parts[names[0]]}
    if len(names) > 1:
        figures["models"] = parts
    figures["run"] = {**figures["run"], "seconds": run.figures()["seconds"]}
    run.finish(figures, table(verification, conversion))


if __name__ == "__main__":
    main()
