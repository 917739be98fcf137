"""Speech: who speaks, by f and by z."""

from __future__ import annotations

from typing import Any

from .cells import error_rate, how_many, over_seeds, percent
from .results import Rows, matching, result, table

QUICK = "speech_an4_quick*"


@table
def speech() -> Rows:
    runs = [run["verification"] for run in matching(QUICK)]

    def ours(feature: str) -> str:
        return over_seeds(run["factorised_64"][feature]["eer"] for run in runs)

    head, *converted = conversions()
    return [
        head,
        ["speaker verification by f, equal error rate", ours("f"), "8%"],
        ["the same by z, which should not know", ours("z"), "above 30%"],
        [
            "the same by mean and covariance of MFCCs",
            percent(runs[0]["baseline"]["mfcc"]["eer"]),
            "",
        ],
        *converted,
    ]


def verification() -> dict[str, Any]:
    """Of all models, which four runs have trained."""
    runs = ("factorised", "full_64", "full_16", "fhvae")
    found = [result(f"speech_an4_{name}")["verification"].items() for name in runs]
    return {model: scores for run in found for model, scores in run}


@table
def conversions() -> Rows:
    runs = [run["conversion"] for run in matching(QUICK)]

    def all_of(key: str, digits: int = 1, scale: float = 100, unit: str = "%") -> str:
        return over_seeds((run[key] for run in runs), digits, scale, unit)

    real, phase = all_of("taken_of_real", 0), all_of("distortion_of_phase", 2, 1, " dB")
    fewest, most = (f(run["pairs"] for run in runs) for f in (min, max))
    pairs = f"{fewest}" if fewest == most else f"{fewest} or {most}"
    return [
        ["", how_many(runs), "aim"],
        ["converted voices: a pitch is found", all_of("voiced"), "85%"],
        [
            f"it moves, of the way from the source's to the target's, median of {pairs}",
            all_of("pitch_moved", 0),
            "above 50%",
        ],
        [
            "what is said is nearest to its own source's, of all sources",
            all_of("said_kept"),
            "90%",
        ],
        [
            f"taken for the target, a training speaker, of {runs[0]['voices']} (real speech: {real})",
            all_of("taken"),
            "70%",
        ],
        [
            f"mel-cepstral distortion of reconstructions; of their phase alone {phase}",
            all_of("distortion", 2, 1, " dB"),
            "",
        ],
    ]


@table
def speakers() -> Rows:
    rows = [["model", "static feature", "EER", "dynamic feature", "EER"]]
    names = {"f": "f", "z": "z", "mu2": "mu_2", "z1": "z_1"}
    order = ("factorised_64", "factorised_16", "full_64", "full_16", "fhvae_10", "fhvae_0")
    for model in order:
        features = verification()[model].items()
        cells = [cell for key, scores in features for cell in (names[key], error_rate(scores))]
        rows.append([f"`{model}`", *cells])
    mfcc = error_rate(verification()["baseline"]["mfcc"])
    return [*rows, ["mean and covariance of MFCCs", "", mfcc, "", ""]]


@table
def paper_speakers() -> Rows:
    paper = {
        "factorised_16": ("factorised, 16", "4.78%", "17.84%"),
        "factorised_64": ("factorised, 64", "4.94%", "17.49%"),
        "full_16": ("full, 16", "5.64%", "19.20%"),
        "full_64": ("full, 64", "4.82%", "18.89%"),
        "fhvae_10": ("FHVAE, alpha 10", "2.38%", "22.47%"),
        "fhvae_0": ("FHVAE, alpha 0", "5.06%", ""),
    }
    rows = [["", "f, paper", "z, paper", "f, AN4", "z, AN4"]]
    for model, theirs in paper.items():
        static, dynamic = verification()[model].values()
        rows.append([*theirs, error_rate(static), percent(dynamic["eer"])])
    mfcc = error_rate(verification()["baseline"]["mfcc"])
    return [*rows, ["i-vector", "9.82%", "", f"{mfcc} by MFCCs", ""]]
