"""Descriptions of models that older releases wrote are brought to today's layout when they are read.

A step says, for the schema it leads to, what a record of the schema before it meant without saying so. It is written
out here, and not left to the defaults of today, which may move: a record that was written earlier must not move along.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

Plain = dict[str, Any]

STEPS: dict[str, dict[int, Plain]] = {
    "dense": {
        2: {"train": {"betas": [0.9, 0.999], "full_rate_at": 0, "order": "auto", "block_cells": 64}},
        3: {"stack": False},  # the network predicts alone
    },
    "xchrom": {
        3: {
            "stack": False,
            "covariates": {"chromosomes": [], "motifs": []},
            "cell_covariates": {"batch_key": None, "levels": [], "keys": []},
            "network": {"covariate_length": 0, "n_motifs": 0, "motif_width": 0},
        },
    },
    "nascent": {
        2: {"options": {"augment": False, "blend": 0.0}},
        3: {"options": {"ranks": False}},
        4: {"options": {"smooth": False}},
        5: {"options": {"cnn": False}},
        6: {"options": {"stack": False}},
    },
}


def migrated(family: str, schema: int, config: Mapping[str, Any]) -> Plain:
    """Return the description of a record in the layout of the newest schema of its family.

    Examples
    --------
    >>> migrated("dense", 2, {"seed": 0})
    {'seed': 0, 'stack': False}
    """
    said = dict(config)
    for to, added in sorted(STEPS.get(family, {}).items()):
        if to > schema:
            said = _filled(said, copy.deepcopy(added))
    return said


def _filled(said: Plain, added: Plain) -> Plain:
    inner = {k: _filled(said[k], v) for k, v in added.items() if isinstance(v, dict) and isinstance(said.get(k), dict)}
    return said | {k: v for k, v in added.items() if k not in said} | inner
