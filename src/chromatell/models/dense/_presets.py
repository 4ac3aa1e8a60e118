"""Named settings of the Dense family."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from chromatell._unread import Readers, refuse_unread
from chromatell._validate import ChromatellError
from chromatell.models._options import refuse_unknown
from chromatell.models._train_config import TrainConfig
from chromatell.models.dense._module import DenseConfig
from chromatell.nn.losses import LossConfig


@dataclass(frozen=True)
class SmoothingConfig:
    """Targets averaged over neighbours among the training cells; ``mix=0`` leaves them as they are."""

    k: int = 20
    mix: float = 0.0
    space: str = "joint"


@dataclass(frozen=True)
class Preset:
    """A network, how its targets are made, how it is trained, and whether simpler predictors may stand in for it."""

    network: DenseConfig
    training: TrainConfig
    smoothing: SmoothingConfig = SmoothingConfig()
    stack: bool = True


PANEL = 100  # up to this many genes 'default' becomes 'panel'

PRESETS: dict[str, Preset] = {
    "default": Preset(
        network=DenseConfig(encoder="autoencoder", reconstruction_weight=0.03, n_pcs=30, n_members=2),
        training=TrainConfig(max_epochs=10, batch_size=256, lr=2e-3, weight_decay=1e-2),
        smoothing=SmoothingConfig(k=20, mix=0.25, space="joint"),
    ),
    "panel": Preset(
        network=DenseConfig(n_pcs=0, dropout_in=0.0, depth_hidden=0, n_members=2),
        training=TrainConfig(max_epochs=20, batch_size=256, lr=2e-3, weight_decay=1e-2),
        smoothing=SmoothingConfig(k=20, mix=0.25, space="rna"),
    ),
    # Given by the recipe: connected Swish layers, sigmoid output, focal + Dice, RMSProp, batches of 32, 50 epochs.
    # Left open there, chosen here: two layers of 512, no norm, dropout 0.2, learning rate 1e-4, alpha 0.25 and gamma 2.
    "wizel2025": Preset(
        network=DenseConfig(
            n_hidden=512,
            n_layers=2,
            n_latent=512,
            norm="none",
            dropout=0.2,
            dropout_in=0.0,
            depth_term=False,
            depth_hidden=0,
            loss=LossConfig(name="focal_dice", focal_gamma=2.0, focal_alpha=0.25),
        ),
        training=TrainConfig(
            max_epochs=50,
            batch_size=32,
            optimizer="rmsprop",
            lr=1e-4,
            weight_decay=0.0,
            schedule="none",
            early_stopping=False,
        ),
        stack=False,  # the published recipe is the network
    ),
}


def resolve_network(
    owner: type,
    base: DenseConfig,
    encoder: str | None,
    likelihood: str | None,
    loss: str | LossConfig | None,
    linked: bool,
    other: dict[str, Any],
) -> DenseConfig:
    """Return a preset's network with the user's choices in it; one that the class `owner` does not know is named."""
    known = {f.name for f in fields(DenseConfig)} - {"n_genes", "n_regions", "n_covariates", "loss"}
    refuse_unknown(owner, other, known)
    network = replace(base, linked_genes=linked or base.linked_genes, **other)
    if encoder is not None:
        network = replace(network, encoder=encoder)
    if likelihood is not None:
        network = replace(network, likelihood=likelihood)
    if loss is not None:
        network = replace(network, loss=LossConfig(name=loss) if isinstance(loss, str) else loss)
    if network.likelihood == "poisson":
        if loss is not None and network.loss.name != "poisson":
            raise ChromatellError(
                f"loss={network.loss.name!r} goes with likelihood='bernoulli'; with 'poisson' take loss='poisson', or "
                "leave loss= out."
            )
        network = replace(network, loss=replace(network.loss, name="poisson"))
    elif network.loss.name == "poisson":
        raise ChromatellError("loss='poisson' goes with likelihood='poisson'.")
    refuse_unread(other, base, _readers(network))
    return network


def _readers(c: DenseConfig) -> Readers:
    """Return which options some networks alone read, see `refuse_unread`."""
    return [
        (("n_pcs",), c.encoder in ("mlp", "autoencoder"), "encoder='mlp' or 'autoencoder'"),
        (("reconstruction_weight",), c.encoder == "autoencoder", "encoder='autoencoder'"),
        (("dropout_in",), c.encoder != "transformer", "other encoders than 'transformer'"),
        (("depth_mix", "depth_shrink"), c.depth_hidden > 0, "a network of depth, depth_hidden=64"),
        (("shared_head",), c.n_members > 1, "several networks, n_members=2"),
    ]
