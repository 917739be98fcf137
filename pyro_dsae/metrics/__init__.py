"""How well a model does: the judge of sprites, scores, protocols and their table, a file each."""

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

__all__ = [
    "HEADS",
    "DigitClassifier",
    "Judge",
    "LabelledSequences",
    "SheetSequences",
    "balanced_subset",
    "derangement",
    "disagreement",
    "entropy",
    "evaluate_sprites",
    "format_table",
    "grid_consistency",
    "identity",
    "inception_score",
    "judge_accuracy",
    "kl",
    "latent_grid",
    "load_or_train_digit_classifier",
    "load_or_train_judge",
    "marginal",
    "nearest",
    "position_r2",
    "protocol_a",
    "protocol_b",
    "protocol_b_reverse",
    "sheet_sequences",
    "static_accuracy_by_frames",
    "swap",
    "train_digit_classifier",
    "train_judge",
    "trajectories",
]
