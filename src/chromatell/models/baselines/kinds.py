"""Names of the baselines, and what each may read."""

from __future__ import annotations

import hashlib

from anndata import AnnData

from chromatell._keys import TRAIN
from chromatell._validate import region_split_of
from chromatell.models.baselines import expression, oracles, protocol, sequence
from chromatell.models.baselines.sequence import SequenceBaseline

FILES = (expression, sequence, oracles)  # each registers its baselines

BASELINES: dict[str, str] = dict(  # oracles last
    sorted(protocol.named("cells").items(), key=lambda item: protocol.BASELINES[item[0]].is_oracle)
)
SEQUENCE_BASELINES = {n: about for n, about in BASELINES.items() if issubclass(protocol.BASELINES[n], SequenceBaseline)}
# These read the target assay of the very cell that they predict: shown, but never the best baseline.
REFERENCES = frozenset(n for n in BASELINES if protocol.BASELINES[n].is_oracle)
# What can be said of a region without its ATAC in any training cell; the last of these is an oracle, which reads it.
UNSEEN = tuple(n for n in BASELINES if not protocol.BASELINES[n].reads_region_atac)


def uses_target_assay(kind: str) -> bool:
    """Return whether a baseline reads the ATAC of the cells that it predicts."""
    return kind in REFERENCES


def held_out_digest(atac: AnnData) -> str:
    """Return a short hash of the names of the held-out regions, '' where there are none.

    Stored with a prediction, it tells later which regions were held out when it was made.
    """
    held = atac.var_names[region_split_of(atac) != TRAIN]
    if not len(held):
        return ""
    return hashlib.sha256("\n".join(sorted(str(name) for name in held)).encode()).hexdigest()[:16]
