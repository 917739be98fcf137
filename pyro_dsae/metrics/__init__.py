"""How well a model does: the judge of sprites, scores, protocols and their table, a file each."""

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
    "Judge",
    "LabelledSequences",
    "balanced_subset",
    "derangement",
    "disagreement",
    "entropy",
    "evaluate_sprites",
    "format_table",
    "inception_score",
    "judge_accuracy",
    "kl",
    "load_or_train_judge",
    "marginal",
    "protocol_a",
    "protocol_b",
    "protocol_b_reverse",
    "swap",
    "train_judge",
    "trajectories",
]
