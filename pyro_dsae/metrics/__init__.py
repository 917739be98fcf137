"""How well a model does: a file for each protocol, for the judges they ask and for their scores."""

from .bouncing_ball import (
    continuation_nll,
    incorrect_pixels,
    one_ball,
    physics,
    prediction_errors,
)
from .digits import (
    DigitClassifier,
    grid_consistency,
    latent_grid,
    load_or_train_digit_classifier,
    position_r2,
    train_digit_classifier,
)
from .identity import identity, nearest
from .judge import (
    HEADS,
    Judge,
    LabelledSequences,
    judge_accuracy,
    load_or_train_judge,
    train_judge,
)
from .pitch import conversion_pitch, median_pitch, pitch_moved
from .report import format_table
from .scores import disagreement, entropy, inception_score, kl, marginal
from .sheets import SheetSequences, sheet_sequences, static_accuracy_by_frames
from .sprites import (
    balanced_subset,
    derangement,
    evaluate_sprites,
    protocol_a,
    protocol_b,
    protocol_b_reverse,
    swap,
    trajectories,
)
from .verification import (
    all_pairs,
    det_curve,
    equal_error_rate,
    mfcc_features,
    standardise,
    static_and_dynamic,
    utterance_features,
    verify,
)

__all__ = [
    "HEADS",
    "DigitClassifier",
    "Judge",
    "LabelledSequences",
    "SheetSequences",
    "all_pairs",
    "balanced_subset",
    "continuation_nll",
    "conversion_pitch",
    "derangement",
    "det_curve",
    "disagreement",
    "entropy",
    "equal_error_rate",
    "evaluate_sprites",
    "format_table",
    "grid_consistency",
    "identity",
    "inception_score",
    "incorrect_pixels",
    "judge_accuracy",
    "kl",
    "latent_grid",
    "load_or_train_digit_classifier",
    "load_or_train_judge",
    "marginal",
    "median_pitch",
    "mfcc_features",
    "nearest",
    "one_ball",
    "physics",
    "pitch_moved",
    "position_r2",
    "prediction_errors",
    "protocol_a",
    "protocol_b",
    "protocol_b_reverse",
    "sheet_sequences",
    "standardise",
    "static_accuracy_by_frames",
    "static_and_dynamic",
    "swap",
    "train_digit_classifier",
    "train_judge",
    "trajectories",
    "utterance_features",
    "verify",
]
