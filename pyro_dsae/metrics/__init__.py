"""How well a model does: a file for each protocol, for the judges they ask and for their scores."""

from .annealing import Annealed, anneal, bidirectional, chain_interval
from .bouncing_ball import (
    constant_velocity,
    continuation_nll,
    hold_last,
    incorrect_pixels,
    one_ball,
    physics,
    prediction_errors,
)
from .conversion import VoiceClassifier, mel_cepstra, mel_cepstral_distortion, said_kept
from .dci import dci, latent_dci
from .digits import (
    DigitClassifier,
    grid_consistency,
    latent_grid,
    load_or_train_digit_classifier,
    position_r2,
    train_digit_classifier,
)
from .evidence import (
    active_units,
    content_dynamics_information,
    evidence,
    gaussian_copula_information,
    importance_bound,
    k_hat,
    log_weights,
    mutual_information,
)
from .frames import single_frames, swap_by_frame
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
from .rate import rates
from .report import format_table
from .scores import disagreement, entropy, inception_score, kl, marginal
from .sheets import SheetSequences, sheet_sequences, static_accuracy_by_frames
from .sprites import (
    balanced_subset,
    derangement,
    evaluate_sprites,
    prior_samples,
    protocol_a,
    protocol_b,
    protocol_b_reverse,
    swap,
    trajectories,
)
from .truth import swap_against_truth
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
    "Annealed",
    "DigitClassifier",
    "Judge",
    "LabelledSequences",
    "SheetSequences",
    "VoiceClassifier",
    "active_units",
    "all_pairs",
    "anneal",
    "balanced_subset",
    "bidirectional",
    "chain_interval",
    "constant_velocity",
    "content_dynamics_information",
    "continuation_nll",
    "conversion_pitch",
    "dci",
    "derangement",
    "det_curve",
    "disagreement",
    "entropy",
    "equal_error_rate",
    "evaluate_sprites",
    "evidence",
    "format_table",
    "gaussian_copula_information",
    "grid_consistency",
    "hold_last",
    "identity",
    "importance_bound",
    "inception_score",
    "incorrect_pixels",
    "judge_accuracy",
    "k_hat",
    "kl",
    "latent_dci",
    "latent_grid",
    "load_or_train_digit_classifier",
    "load_or_train_judge",
    "log_weights",
    "marginal",
    "median_pitch",
    "mel_cepstra",
    "mel_cepstral_distortion",
    "mfcc_features",
    "mutual_information",
    "nearest",
    "one_ball",
    "physics",
    "pitch_moved",
    "position_r2",
    "prediction_errors",
    "prior_samples",
    "protocol_a",
    "protocol_b",
    "protocol_b_reverse",
    "rates",
    "said_kept",
    "sheet_sequences",
    "single_frames",
    "standardise",
    "static_accuracy_by_frames",
    "static_and_dynamic",
    "swap",
    "swap_against_truth",
    "swap_by_frame",
    "train_digit_classifier",
    "train_judge",
    "trajectories",
    "utterance_features",
    "verify",
]
