"""Networks along time, all LSTMs: a transition, a rollout, a summary."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from .dense import MLP, SLOPE, GaussianHead
from .masks import lengths_of, mean_of_present


def along_time(network: nn.Module, h: Tensor, lengths: Tensor | None = None) -> Tensor:
    """What a recurrent network gives at each step: ``(*batch, T, in)`` to ``(*batch, T, out)``.

    :param lengths: ``(N,)`` for h ``(*, N, T, in)``: what lies past them is not read, and gives zeros.
    """
    batch = h.shape[:-2]
    if lengths is not None:
        outputs, _ = _packed(network, h.flatten(0, -3), lengths.expand(batch).flatten())
        h = pad_packed_sequence(outputs, batch_first=True, total_length=h.shape[-2])[0]
        return h.unflatten(0, batch)
    if h.dim() == 3:
        return network(h)[0]
    return network(h.flatten(0, -3))[0].unflatten(0, batch)


def _packed(network: nn.Module, h: Tensor, lengths: Tensor) -> tuple[PackedSequence, Any]:
    """A recurrent network over sequences ``(N, T, in)``, each up to its length."""
    return network(pack_padded_sequence(h, lengths.cpu(), batch_first=True, enforce_sorted=False))


def last_step(h: Tensor, lengths: Tensor | None = None) -> Tensor:
    """The last of T steps, or that of each length, ``(N,)``: ``(*, N, T, out)`` to ``(*, N, out)``."""
    if lengths is None:
        return h[..., -1, :]
    last = (lengths - 1).expand(h.shape[:-2])[..., None, None]
    return h.take_along_dim(last, -2).squeeze(-2)


REACH = 10.0


def within_reach(z: Tensor) -> Tensor:
    """z where it is below ``REACH``, beyond that only its logarithm: a loop through it cannot run away."""
    size = z.abs()
    beyond = (size - REACH).clamp(min=0.0)
    return torch.where(size > REACH, z.sign() * (REACH + beyond.log1p()), z)


class CausalLSTM(nn.Module):
    """What z_<=t says of the next step: ``(batch, time, z_dim)`` to ``(batch, time, 2 hidden)``.

    One dense layer before the LSTM, past which the embedded input also goes directly: the prior learns its
    clusters and their cycles sooner than with the bare LSTM. What it sees of z is :func:`within_reach`.
    """

    def __init__(self, z_dim: int, hidden: int = 256) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.embed = nn.Sequential(MLP(z_dim, hidden), nn.LeakyReLU(SLOPE))
        self.lstm = nn.LSTM(hidden, hidden, batch_first=True)

    def features(self, z: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """The embedded inputs beside the LSTM's outputs, and the state from which to go on."""
        e = self.embed(within_reach(z))
        h, state = self._step(e, state) if z.shape[1] == 1 else self.lstm(e, state)
        return torch.cat([e, h], dim=-1), state

    def _step(self, e: Tensor, state: Any) -> tuple[Tensor, Any]:
        """What the LSTM gives for one step, without its overhead for whole sequences."""
        if state is None:
            zeros = e.new_zeros(1, len(e), self.lstm.hidden_size)
            state = zeros, zeros
        h, c = torch.lstm_cell(e[:, 0], [part[0] for part in state], *self.lstm.all_weights[0])
        return h.unsqueeze(1), (h.unsqueeze(0), c.unsqueeze(0))


class LSTMTransition(CausalLSTM):
    """p(z_t | z_<t) by an LSTM: ``(batch, time, z_dim)`` to the mean and scale of each next step.

    :param residual: the mean is a step from z_t-1, for dynamics that move on a little at a time.
    """

    def __init__(self, z_dim: int, hidden: int = 256, *, residual: bool = False) -> None:
        super().__init__(z_dim, hidden)
        self.residual = residual
        self.head = nn.Sequential(
            MLP(2 * hidden, hidden), nn.LeakyReLU(SLOPE), GaussianHead(hidden, z_dim, scale=1.0)
        )

    def forward(self, z: Tensor, state: Any = None) -> tuple[Tensor, Tensor, Any]:
        h, state = self.features(z, state)
        loc, scale = self.head(h)
        return within_reach(z) + loc if self.residual else loc, scale, state


class LSTMRollout(nn.Module):
    """A sequence of states from one vector: z ``(*, z_dim)`` and T to h_1:T ``(*, T, hidden)``.

    :param feed: feed z at every step, from a state of zeros; else it only sets the first state.
    """

    def __init__(self, z_dim: int, hidden: int, *, feed: bool) -> None:
        super().__init__()
        self.lstm = nn.LSTM(z_dim if feed else 1, hidden, batch_first=True)
        self.start = None if feed else nn.Linear(z_dim, 2 * hidden)

    def forward(self, z: Tensor, num_frames: int) -> Tensor:
        batch, z = z.shape[:-1], z.reshape(-1, z.shape[-1])
        if self.start is None:
            states = self.lstm(z.unsqueeze(1).expand(-1, num_frames, -1))[0]
        else:
            h, c = (part.contiguous() for part in self.start(z).unsqueeze(0).chunk(2, dim=-1))
            states = self.lstm(z.new_ones(len(z), num_frames, 1), (h.tanh(), c))[0]
        return states.reshape(*batch, *states.shape[1:])


class SequenceSummary(nn.Module):
    """A sequence in one vector: ``(N, T, in)`` to ``(N, 2 hidden + in)``.

    A bidirectional LSTM's last forward and first backward state, as in Li & Mandt, and beside them the mean
    of the frames' features: a short way for what all frames share, without which f wakes late.
    """

    def __init__(self, in_features: int, hidden: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(in_features, hidden, batch_first=True, bidirectional=True)
        self.features = 2 * hidden + in_features

    def forward(self, h: Tensor, mask: Tensor | None = None) -> Tensor:
        """:param mask: ``(N, T)``, frames present: what stands past a sequence's length is not read."""
        if mask is None:
            (last, _), mean = self.lstm(h)[1], h.mean(dim=1)
        else:
            (last, _), mean = _packed(self.lstm, h, lengths_of(mask))[1], mean_of_present(h, mask)
        return torch.cat([last[0], last[1], mean], dim=-1)
