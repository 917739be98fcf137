"""The table of ``examples/compare_recipes.py``: a recipe a row, two or three figures a data set.

Means over the seeds, and the least and the greatest of them. From any number of its ``metrics.json``, such as
one a data set; what was judged on held-out training data stands in columns of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .cells import over_seeds
from .results import Rows, matching, recorded, table

Cell = Callable[..., str]
PERCENT = {"digits": 1, "scale": 100, "unit": "%"}
SHARE = {"digits": 2, "scale": 1, "unit": ""}
SPRITES = {"swap_static": ("content kept", PERCENT), "swap_action": ("action kept", PERCENT)}
COLUMNS: dict[str, dict[str, tuple[str, dict[str, Any]]]] = {
    "procedural": SPRITES,
    "lpc": SPRITES,
    "changing": {
        "swap_hair": ("hair from f", PERCENT),
        "swap_action_type": ("kind of action from f", PERCENT),
        "swap_colours": ("colours from z", PERCENT),
    },
    "digits": {"digit_consistency": ("digit kept", PERCENT), "position_r2": ("place, R²", SHARE)},
    "speech": {"eer_f": ("EER of f", PERCENT), "eer_z": ("EER of z", PERCENT)},
}
"""By data set and figure: what it is called, and how its cell is written."""


def recipe_rows(results: Iterable[Mapping[str, Any]], cell: Cell) -> Rows:
    """The head and a row a recipe, by what a recipe finds; no row at all of no results.

    :param results: of ``compare_recipes.py``: ``runs`` with ``recipe``, ``data``, ``seed``; ``split``.
    :param cell: writes the figures of all seeds; takes ``digits``, ``scale`` and ``unit``.
    :raises ValueError: if two results have the same recipe, data set, split and seed.

    >>> run = {"recipe": "elbo", "data": "digits", "digit_consistency": 0.5, "position_r2": 0.9}
    >>> both = {"runs": [{**run, "seed": 0}, {**run, "seed": 1, "position_r2": 0.7}]}
    >>> recipe_rows([both], lambda values, **how: f"{min(values)} to {max(values)}")
    [['', 'digits: digit kept', 'digits: place, R²'], ['`elbo`', '0.5 to 0.5', '0.7 to 0.9']]
    """
    found: dict[tuple[str, str], dict[str, dict[int, Mapping[str, Any]]]] = {}
    for result in results:
        for run in result["runs"]:
            data, recipe, seed = (run[key] for key in ("data", "recipe", "seed"))
            of_data = found.setdefault((data, result.get("split", "test")), {})
            of_recipe = of_data.setdefault(recipe, {})
            if seed in of_recipe:
                raise ValueError(f"two results have {recipe} on {data} with seed {seed}")
            of_recipe[seed] = run
    if not found:
        return []
    recipes = dict.fromkeys(recipe for of_data in found.values() for recipe in of_data)
    rows = [[""], *([f"`{recipe}`"] for recipe in recipes)]
    for (data, split), of_data in found.items():
        held_out = ", held out of training" if split == "validation" else ""
        for key, (title, how) in COLUMNS[data].items():
            rows[0].append(f"{data}{held_out}: {title}")
            for recipe, row in zip(recipes, rows[1:], strict=True):
                runs = of_data.get(recipe, {}).values()
                values = [run[key] for run in runs if run.get(key) is not None]
                row.append(cell(values, **how) if values else "-")
    return rows


@table
def recipes() -> Rows:
    """Sprites; empty as long as there are no results."""
    return recipe_rows(_of("procedural", "lpc", "changing"), over_seeds)


@table
def recipes_elsewhere() -> Rows:
    """Digits and speech; empty as long as there are no results."""
    return recipe_rows(_of("digits", "speech"), over_seeds)


def _of(*data: str) -> list[dict[str, Any]]:
    """The results, less the runs on other data."""
    results = matching("compare_recipes*")
    return [
        {**result, "runs": [run for run in result["runs"] if run["data"] in data]}
        for result in results
    ]


@table
def default_chosen() -> Rows:
    """What the recipe that knows nothing of pixels was chosen by; empty without results."""
    return recipe_rows(recorded("default_recipe_validation"), over_seeds)


@table
def default_asked() -> Rows:
    """And what it then came to, a data set a row, beside the aims; empty without results."""
    runs = [run for result in recorded("default_recipe") for run in result["runs"]]
    if not runs:
        return []
    aims = {
        "procedural": ("95%", "95%"),
        "lpc": ("90%", "90%"),
        "digits": ("80%", ""),
        "speech": ("at most 9%", "at least 40%"),
    }
    rows = [["", "", "aim", "", "aim", ""]]
    for data, (first, second) in aims.items():
        found = [run for run in runs if run["data"] == data]
        row = [data]
        for (key, (title, how)), aim in zip(COLUMNS[data].items(), (first, second), strict=True):
            row += [f"{title} {over_seeds((run[key] for run in found), **how)}", aim]
        kinds = [run["swap_action_type"] for run in found if "swap_action_type" in run]
        row.append(f"but for its direction {over_seeds(kinds)}" if kinds else "")
        rows.append(row)
    return rows
