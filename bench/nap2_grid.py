"""The source paper's whole grid of NAP2 and halving on 1,000 recorded networks, beside one run at a time.

    python bench/nap2_grid.py

The trajectories are synthetic: 30 units of 1,000 networks whose scores become the truth, in four folds.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import yaml

from foretrain.evaluation.nap2.competition import agents_table
from foretrain.search.agent import select
from foretrain.search.replay import RecordedContenders, replay, rules_grid
from timing import ratios, seconds_in_turn

NETWORKS, UNITS, FOLDS = 1000, 30, 4
GRID = Path(__file__).parent.parent / "conf" / "grid" / "paper.yaml"
ALLOWED_SECONDS = 600


def main() -> None:
    """Prints the time of the whole grid and what replaying all rules at once saves."""
    options = yaml.safe_load(GRID.read_text())
    rules = rules_grid(**{name: values for name, values in options.items() if name != "_target_"})
    draw = np.random.default_rng(0)
    truth = draw.uniform(60, 95, NETWORKS)
    noise = np.linspace(20, 1, UNITS)
    methods = {name: truth[:, None] + noise * draw.normal(size=(NETWORKS, UNITS)) for name in ("NAP2", "halving")}
    folds = np.array_split(draw.permutation(NETWORKS), FOLDS)

    started = time.process_time()
    table = agents_table(methods, rules, truth, folds)
    spent = time.process_time() - started
    print(f"{len(table)} settings on {NETWORKS} networks in {FOLDS} folds: {spent:.1f} s of one core,", end=" ")
    print(f"{spent / ALLOWED_SECONDS:.1%} of ten minutes")

    scores = methods["NAP2"][folds[0]]
    single, together = seconds_in_turn(
        lambda: [select(RecordedContenders(scores), rule) for rule in rules], lambda: replay(scores, rules)
    )
    print(f"all rules at once against one at a time: {np.median(ratios(single, together)):.1f} times as fast")


if __name__ == "__main__":
    main()
