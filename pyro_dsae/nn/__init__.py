"""Networks: encoders and decoders of frames, what goes along time, what pairs share, heads.

Every encoder maps ``(*batch, *frame)`` to ``(*batch, features)`` and every decoder maps back, for any
number of batch axes. A network of your own only has to do the same.
"""

from .contractions import Contractions
from .convolutions import (
    Channels,
    ConvDecoder,
    ConvEncoder,
    ConvMaps,
    ModulatedDecoder,
    PooledEncoder,
    SortedEncoder,
)
from .dense import MLP, GaussianHead, beside, keep_variance
from .frames import frame_decoder, frame_encoder, over_frames
from .masks import (
    check_mask,
    filled,
    hidden,
    lengths_of,
    mean_of_present,
    within_lengths,
)
from .pairs import MeanSummary, PairSummary
from .shapes import FrameShape, check_frame_shape, check_sequences
from .time import CausalLSTM, LSTMRollout, LSTMTransition, SequenceSummary, along_time, last_step

__all__ = [
    "MLP",
    "CausalLSTM",
    "Channels",
    "Contractions",
    "ConvDecoder",
    "ConvEncoder",
    "ConvMaps",
    "FrameShape",
    "GaussianHead",
    "LSTMRollout",
    "LSTMTransition",
    "MeanSummary",
    "ModulatedDecoder",
    "PairSummary",
    "PooledEncoder",
    "SequenceSummary",
    "SortedEncoder",
    "along_time",
    "beside",
    "check_frame_shape",
    "check_mask",
    "check_sequences",
    "filled",
    "frame_decoder",
    "frame_encoder",
    "hidden",
    "keep_variance",
    "last_step",
    "lengths_of",
    "mean_of_present",
    "over_frames",
    "within_lengths",
]
