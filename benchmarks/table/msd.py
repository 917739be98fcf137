"""The table of ``benchmarks/msd_adapter.py``: what the evaluators of MSD-Benchmark say of a pair of ours."""

from __future__ import annotations

from .results import Rows, recorded, table

SCORES = {
    "intervention_multi_factor_swap": "a factor's channels kept, the others another's: it alone stays",
    "intervention_multi_factor_sample": "the same, the others drawn from the prior",
    "intervention_two_factor_swap": "the same of all attributes, and of the action",
    "intervention_two_factor_sample": "the same, drawn from the prior",
    "consistency_swap": "frame by frame: an attribute's channels kept, it and what came in are as they were",
    "global_consistency_sample": "attributes do not flicker where channels are drawn from the prior",
    "modularity": "a channel tells of one factor",
    "compactness": "a factor is told by few channels",
    "explicitness_test": "factors are told by the channels, of sequences not learnt from",
}
"""By the name that the benchmark logs: what is 1 at best."""


@table
def msd() -> Rows:
    """Of the pretrained sprites; empty as long as there is no result."""
    found = recorded("msd_lpc_64")
    if not found:
        return []
    rows = [["its name", "1 if", "`pretrained/lpc-sprites-64`"]]
    for name, asks in SCORES.items():
        mean, std = (found[0][name][key] for key in ("mean", "std"))
        rows.append([f"`{name}`", asks, f"{mean:.3f}" + (f" ± {std:.3f}" if std else "")])
    return rows
