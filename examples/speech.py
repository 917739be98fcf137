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

import voices
from common import GUIDES, Pair, Preset, Run, find_data, held_out, some
from options import Distinct, at_least, number, parser, share
from torch import nn

import pyro_dsae
from pyro_dsae import metrics, plotting
from pyro_dsae.conversion import HOP
from pyro_dsae.data import LogSpectrum, SpeechSegments
from pyro_dsae.data.speech import lowest_rate

PRESETS = {
    "quick": Preset(
        200, f_dim=64, z_dim=16, channels=16, hidden=128, batch_size=128, steps=4000, lr=2e-3
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
VALIDATION = 10  # training speakers to choose settings on


def make_pair(preset: Preset, name: str, utterances: int) -> Pair:
    """Model and guide of one of ``MODELS``; its number is the size of f, or FHVAE's alpha."""
    kind, number = name.split("_")
    frame, size = (preset.size,), int(number)
    if kind == "fhvae":
        sizes = {"hidden": preset.hidden, "channels": preset.channels, "z2_dim": preset.f_dim}
        return pyro_dsae.FHVAE(frame, **sizes), pyro_dsae.FHVAEGuide(
            frame, utterances=utterances, discriminative=size, **sizes
        )
    networks = {**preset.networks, "f_dim": size, "z_dim": min(size, preset.z_dim)}
    model = pyro_dsae.DSAE(frame, likelihood="normal", **networks)
    return model, GUIDES[kind](frame, content_encoder=True, **networks)


def weights(name: str) -> dict[str, float]:
    """KL weights: dynamics are the dearer, so that they leave the voice to content; see docs/speech.md."""
    return {"z2": 1.5, "z1": 3.0} if name.startswith("fhvae") else {"f": 1.0, "z": 3.0}


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


def has_splits(root: Path) -> bool:
    """Whether a corpus is in two parts."""
    return {"train", "test"} <= {path.name.lower() for path in root.iterdir() if path.is_dir()}


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
    if has_splits(root):
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
    shares = {
        "voiced": "have a pitch",
        "said_kept": "say what their source says",
        "taken": "are taken for the voice they are to have",
        "taken_of_real": "of real speech is",
    }
    told = [f"{conversion[key]:.0%} {words}" for key, words in shares.items() if key in conversion]
    lines.append(f"Of conversions {', '.join(told)}")
    lost, phase = conversion["distortion"], conversion["distortion_of_phase"]
    lines.append(f"Mel-cepstral distortion {lost:.1f} dB, {phase:.1f} of spectra alone")
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
    options.add_argument(
        "--validate",
        action="store_true",
        help=f"{VALIDATION} of the training speakers in place of those to test on: to choose settings by",
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
    if args.evaluate is not None:
        model, guide = make_pair(preset, names[0], 1)
        run.expect(names[0], type(model), type(guide), getattr(model, "f_dim", None))
    with run.reading():
        read = None if args.sample_rate is None else reader(args.sample_rate)
        if args.evaluate is not None:  # heard and scaled as the model has learnt to
            read = partial(pyro_dsae.load_data, args.evaluate)
        train, test = load(root, args.held_out, args.seed, read=read, validate=args.validate)
    splits = ("train", "train" if args.validate else "test") if has_splits(root) else ("", "")
    heard = zip(splits, (train, test), strict=True)
    run.learns(root, *([f"{split}/{name}" for name in part.speakers] for split, part in heard))
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
            kl_weights=lambda steps, name=name: weights(name),
            labels=("utterance", "segments") if is_fhvae else (),
        )
        if not run.is_first:
            continue
        run.say(f"{name}: verification")
        verification[name], rates = verify(model, guide, test)
        curves |= {f"{name}, {feature}": curve for feature, curve in rates.items()}
        if not conversion:
            run.say(f"{name}: conversion")
            pairs = voices.conversions(test, args.pairs, args.seed)
            detail = voices.detail_lost(model, guide, train, args.seed)
            conversion = {
                "model": name,
                **voices.converted(model, guide, test, pairs, part.out / "conversion", detail),
                **voices.distortion(model, guide, test, pairs, detail),
                **voices.taken(model, guide, train, test, pairs, args.seed, detail),
                "detail": float(detail.mean()),
            }
        parts[name] = {
            "elbo": part.elbo(model, guide, some(train, 2048), test),
            "run": part.figures(model, guide),
        }
    run.alone()
    run.say("the baseline: mean and covariance of MFCCs")
    verification["baseline"], curves["MFCC"] = baseline(train, test)
    plotting.det_figure(curves, run.out / "det")
    split = {"split": "validation" if args.validate else "test"}
    figures = {"verification": verification, "conversion": conversion, **split, **parts[names[0]]}
    if len(names) > 1:
        figures["models"] = parts
    figures["run"] = {**figures["run"], "seconds": run.figures()["seconds"]}
    run.finish(figures, table(verification, conversion))


if __name__ == "__main__":
    main()
