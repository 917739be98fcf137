"""The lines of Pyro that make what the page shows, to copy.

Sequences there are ``(1, T, channels, height, width)``.
"""

from __future__ import annotations

from typing import Any

_START = """\
import pyro_dsae, torch
from pyro import poutine

model, guide = pyro_dsae.load({pair!r})
"""

_VOICES = """\
import pyro_dsae
from pyro_dsae import conversion

model, guide = pyro_dsae.load({pair!r})
speech = pyro_dsae.load_data({pair!r}, "recordings")  # recordings/SPEAKER/UTTERANCE.wav
detail = conversion.lost_detail(model, guide, speech.segments_of(0))
frames = conversion.spoken(model, guide, speech, 0, speaker=1, detail=detail)  # 0 is said by 1
wave = speech.sound(frames)
"""

_LINES = {
    "Swap": """\
f = pyro_dsae.infer(guide, content)["f"]
z = pyro_dsae.infer(guide, motion)["z"]
swapped = poutine.condition(model, data={{"f": f, "z": z}})(num_frames=z.shape[1])
""",
    "Walk": """\
a, b = pyro_dsae.infer(guide, content), pyro_dsae.infer(guide, motion)  # of one length
f = a["f"].lerp(b["f"], {content_share})
z = a["z"].lerp(b["z"], {motion_share})
frames = poutine.condition(model, data={{"f": f, "z": z}})(num_frames=z.shape[1])
""",
    "Directions": """\
many = pyro_dsae.infer(guide, x)  # x: sequences, (N, T, channels, height, width)
axes = {{}}  # principal directions, a standard deviation long
for site, values in {{"f": many["f"], "z": many["z"].flatten(0, 1)}}.items():
    _, scales, rows = torch.linalg.svd(values - values.mean(0), full_matrices=False)
    axes[site] = rows * scales[:, None] / len(values) ** 0.5
f = pyro_dsae.infer(guide, content)["f"] + torch.tensor({f_moves}) @ axes["f"][:{f_count}]
z = pyro_dsae.infer(guide, motion)["z"] + torch.tensor({z_moves}) @ axes["z"][:{z_count}]
frames = poutine.condition(model, data={{"f": f, "z": z}})(num_frames=z.shape[1])
""",
    "Fresh motions": """\
f = pyro_dsae.infer(guide, content)["f"].expand({draws}, -1)
frames = poutine.condition(model, data={{"f": f}})(batch_size={draws}, num_frames={steps})
""",
    "Fresh contents": """\
z = pyro_dsae.infer(guide, motion)["z"][:, :{steps}].expand({draws}, -1, -1)
frames = pyro_dsae.generate(model, z=z, num_frames={steps})  # f drawn; z goes on as its prior does
""",
    "Forecast": """\
futures = pyro_dsae.forecast(model, guide, motion[:, :{seen}], {ahead}, num_futures={futures})
""",
    "Compare": """\
for model, guide in [(model, guide), pyro_dsae.load({other!r})]:
    rebuilt = [pyro_dsae.reconstruct(model, guide, x) for x in (content, motion)]
    errors = [(a - b).square().mean() for a, b in zip(rebuilt, (content, motion))]
    swapped = pyro_dsae.swap(model, guide, content, motion)
    print(type(model).__name__, type(guide).__name__, sum(errors) / 2)
""",
    "Matrix": """\
f = torch.cat([pyro_dsae.infer(guide, x)["f"] for x in contents])
z = torch.cat([pyro_dsae.infer(guide, x)["z"][:, :{steps}] for x in motions])
data = {{"f": f.repeat_interleave(len(z), 0), "z": z.repeat(len(f), 1, 1)}}
frames = poutine.condition(model, data=data)(batch_size=len(f) * len(z), num_frames={steps})
""",
}


def snippet(kind: str, pair: str, **values: Any) -> str:
    """The lines for one kind of picture.

    :param kind: ``Swap``, ``Walk``, ``Directions``, ``Fresh motions``, ``Fresh contents``, ``Forecast``,
        ``Compare``, ``Matrix`` or ``Voices``.
    :param pair: folder or id of the pair.
    :param values: what the kind was made with.
    """
    lines = _VOICES if kind == "Voices" else _START + _LINES[kind]
    return lines.format(pair=pair, **values)
