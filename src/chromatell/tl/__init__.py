"""Tools: ``ctl.tl``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chromatell._lazy import lazy

if TYPE_CHECKING:
    from chromatell.tl._add_prediction import add_prediction
    from chromatell.tl._atacformer import atacformer
    from chromatell.tl._attribute import attribute
    from chromatell.tl._baseline import baseline
    from chromatell.tl._call_regions import call_regions
    from chromatell.tl._dense import dense
    from chromatell.tl._evaluate import evaluate
    from chromatell.tl._fisher import fisher
    from chromatell.tl._gene_activity import gene_activity
    from chromatell.tl._ism import ism
    from chromatell.tl._link_regions import link_regions
    from chromatell.tl._motif_activity import motif_activity
    from chromatell.tl._nascent import nascent
    from chromatell.tl._neighbor_score import neighbor_score
    from chromatell.tl._perturb import perturb
    from chromatell.tl._predict import predict
    from chromatell.tl._rank_regions import rank_regions
    from chromatell.tl._tf_activity import tf_activity
    from chromatell.tl._uncertainty import uncertainty
    from chromatell.tl._variant_effect import variant_effect
    from chromatell.tl._xchrom import xchrom

__all__ = [
    "add_prediction",
    "atacformer",
    "attribute",
    "baseline",
    "call_regions",
    "dense",
    "evaluate",
    "fisher",
    "gene_activity",
    "ism",
    "link_regions",
    "motif_activity",
    "nascent",
    "neighbor_score",
    "perturb",
    "predict",
    "rank_regions",
    "tf_activity",
    "uncertainty",
    "variant_effect",
    "xchrom",
]
__getattr__, __dir__ = lazy(__name__, {name: f"_{name}" for name in __all__})  # each in a file of its name
