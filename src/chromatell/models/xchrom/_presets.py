"""Named settings of the XChrom family."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from chromatell._settings import logger
from chromatell._unread import Readers, refuse_unread
from chromatell._validate import ChromatellError
from chromatell.models._options import refuse_unknown
from chromatell.models._train_config import TrainConfig
from chromatell.models.xchrom._module import XChromConfig
from chromatell.nn.sequence_tower import TowerConfig


@dataclass(frozen=True)
class Preset:
    """Two towers, how they are trained, and whether simpler predictors of known regions may stand in for them."""

    network: XChromConfig
    training: TrainConfig
    n_pcs: int = 32  # components of expression, where they are computed here
    region_effect: bool = True  # a term of its own for each region seen in training
    stack: bool = True


PRESETS: dict[str, Preset] = {
    "small": Preset(
        network=XChromConfig(
            tower=TowerConfig(kind="motifs", sequence_length=608, stem_filters=64, stem_kernel=13, stem_pool=16),
            covariate_length=1344,
        ),
        training=TrainConfig(
            max_epochs=12,
            batch_size=32,
            betas=(0.9, 0.99),
            lr=0.06,
            full_rate_at=800,
            weight_decay=0.1,
            warmup=0.2,
            patience=12,
        ),
    ),
    # Published: the towers' sizes, Adam 0.01 with betas 0.95 and 0.9995, gradients clipped at 1, a decaying rate.
    # Left open, chosen here: the rate is halved where the validation loss has not fallen for two epochs; the whole
    # of early stopping looks at validation loss, never at training AUROC.
    "xchrom": Preset(
        network=XChromConfig(tower=TowerConfig(), depth_mix=0.0, warm_epochs=0, freeze_cells=False),
        region_effect=False,
        stack=False,  # the published recipe is the network
        training=TrainConfig(
            max_epochs=200,
            batch_size=128,
            min_steps=1,
            optimizer="adam",
            betas=(0.95, 0.9995),
            lr=0.01,
            weight_decay=0.0,
            schedule="plateau",
            gradient_clip=1.0,
            patience=10,
        ),
    ),
}


def resolve_network(owner: type, base: XChromConfig, options: dict[str, Any]) -> XChromConfig:
    """Return a preset's network with the user's choices in it; one that the class `owner` does not know is named."""
    of_tower = {f.name for f in fields(TowerConfig)} - {"n_bottleneck"}
    own = {f.name for f in fields(XChromConfig)} - {"tower", "n_inputs", "n_motifs", "motif_width"}
    if "length" in options:
        if "sequence_length" in options:
            raise ChromatellError(
                "length= and sequence_length= are the same: the bases that the tower reads. Give one."
            )
        options = {"sequence_length" if k == "length" else k: v for k, v in options.items()}
    refuse_unknown(owner, options, of_tower | own)
    tower = replace(base.tower, **{k: v for k, v in options.items() if k in of_tower})
    network = replace(base, **{k: v for k, v in options.items() if k in own})
    if tower.sequence_length < tower.shortest:
        raise ChromatellError(
            f"sequence_length={tower.sequence_length} is too short: this tower needs at least {tower.shortest} bases. "
            f"Take sequence_length={tower.shortest} or more, of windows as long, ctl.pp.add_sequence(mdata, fasta, "
            f"width={tower.shortest}), or a smaller tower."
        )
    network = replace(network, tower=tower)
    for own_base, of in ((base.tower, _TOWER_READERS[tower.kind]), (base, _readers(network))):
        refuse_unread(options, own_base, of)
    if not network.learns_vectors:  # the published tower, trained on pairs, stands alone
        network = replace(network, covariate_length=0)
    return replace(network, tower=replace(tower, n_bottleneck=network.n_bottleneck))


_TOWER_READERS: dict[str, Readers] = {
    "motifs": [(("filters", "kernel", "pool", "last_filters", "gelu_after"), False, "kind='basset', preset='xchrom'")],
    "basset": [(("hidden_filters",), False, "kind='motifs', preset='small'")],
}


def _readers(c: XChromConfig) -> Readers:
    """Return which options some networks alone read, see `refuse_unread`."""
    learns = "preset='small', where the tower learns the vectors of a first fit"
    return [
        (("freeze_cells",), c.warm_epochs > 0, "a first fit of the cell tower, warm_epochs=10"),
        (("covariate_length",), c.learns_vectors, learns),
    ]


def scheduled(config: TrainConfig, n_regions: int) -> TrainConfig:
    """Return how to train on so many regions: few of them take a lower learning rate."""
    if n_regions >= config.full_rate_at:
        return config
    lr = config.lr * n_regions / config.full_rate_at
    logger.info(f"{n_regions} training regions are few: learning rate {lr:.2g}.")
    return replace(config, lr=lr)
