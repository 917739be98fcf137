"""Numbers that are given to data sets."""

from __future__ import annotations

import numpy as np
import pytest

from pyro_dsae.data import (
    BouncingBall,
    Clips,
    LogSpectrum,
    MovingDigits,
    ProceduralSheets,
    ProceduralSprites,
    RandomFrames,
    Sheets,
    SpeechSegments,
    Sprites,
    UnorderedFrames,
)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (BouncingBall, "num_frames"),
        (BouncingBall, "num_sequences"),
        (BouncingBall, "size"),
        (BouncingBall, "seed"),
        (lambda **wrong: Clips(".", **wrong), "num_frames"),
        (lambda **wrong: Clips(".", **wrong), "stride"),
        (lambda **wrong: Clips(".", **wrong), "size"),
        (lambda **wrong: UnorderedFrames(".", **wrong), "num_frames"),
        (lambda **wrong: UnorderedFrames(".", **wrong), "size"),
        (LogSpectrum, "bins"),
        (lambda **wrong: MovingDigits(".", **wrong), "num_digits"),
        (lambda **wrong: MovingDigits(".", **wrong), "digit_size"),
        (ProceduralSheets, "num_frames"),
        (ProceduralSprites, "size"),
        (ProceduralSprites, "seed"),
        (RandomFrames, "num_frames"),
        (lambda **wrong: Sheets(".", **wrong), "num_frames"),
        (lambda **wrong: SpeechSegments(".", **wrong), "num_frames"),
        (lambda **wrong: SpeechSegments(".", **wrong), "segment_hop"),
        (lambda **wrong: Sprites(".", **wrong), "size"),
    ],
)
def test_a_number_is_named_that_is_too_small_or_not_whole(make, name):
    with pytest.raises(ValueError, match=f"^{name} must be at least .*, got -1$"):
        make(**{name: -1})
    with pytest.raises(TypeError, match=f"^{name} must be a whole number, got 2.5$"):
        make(**{name: 2.5})


def test_numpys_numbers_will_do():
    assert RandomFrames(np.int64(3)).num_frames == 3
