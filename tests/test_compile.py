"""Networks compiled in place: the same losses, the same files."""

from __future__ import annotations

import pytest
import torch

import pyro_dsae


@pytest.mark.parametrize("guide", [pyro_dsae.Factorised, pyro_dsae.Full])
def test_compiled_networks_train_to_the_same_losses(make_pair, x, tmp_path, guide):
    options = {"steps": 3, "batch_size": 4, "device": "cpu", "progress": False}
    plain = pyro_dsae.fit(*make_pair(guide=guide), x, **options)
    pair = make_pair(guide=guide)
    for network in (pair[0].decoder, pair[1].encoder):
        network.compile(backend="aot_eager")
    assert pyro_dsae.fit(*pair, x, **options).losses == pytest.approx(plain.losses, rel=1e-5)
    pyro_dsae.save(tmp_path, *pair)
    for kept, loaded in zip(pair, pyro_dsae.load(tmp_path), strict=True):
        for name, weight in loaded.state_dict().items():
            torch.testing.assert_close(kept.state_dict()[name], weight)
