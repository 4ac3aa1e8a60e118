"""Named settings of the AtacFormer family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from chromatell._unread import refuse_unread
from chromatell._validate import ChromatellError, in_range, one_of, own_types
from chromatell.models._options import refuse_unknown
from chromatell.models._train_config import TrainConfig
from chromatell.models.atacformer._decoders import DECODERS
from chromatell.models.atacformer._module import AtacFormerConfig
from chromatell.models.atacformer._sentences import Masking

_SIZES = {"n_bins", "n_tokens", "n_eos", "n_classes", "n_context", "n_dna"}  # these follow the data
_MASKING = {f.name for f in fields(Masking)}
FREE = {"dropout", "class_weights", "label_weight"}  # these may differ from a pretrained network's


@dataclass(frozen=True)
class Preset:
    """An encoder and how it is trained."""

    network: AtacFormerConfig
    training: TrainConfig
    masking: Masking
    tokens_per_batch: int
    start: str = "lsi"  # where the bin embeddings start: 'lsi' or 'random'


PRESETS: dict[str, Preset] = {
    "small": Preset(
        network=AtacFormerConfig(
            d=128,
            n_layers=3,
            n_heads=4,
            n_hidden=512,
            dropout=0.0,
            decoder="cross_attention",
            class_weights=(1, 0.1, 1),
            label_weight=0.3,
        ),
        training=TrainConfig(max_epochs=8, lr=2e-3, weight_decay=1e-2, gradient_clip=1.0, patience=4),
        masking=Masking(n_seen=16, n_negatives=128),
        tokens_per_batch=4096,
    ),
    "base": Preset(
        network=AtacFormerConfig(class_weights=(1, 0.3, 1)),
        training=TrainConfig(max_epochs=30, lr=3e-4, weight_decay=1e-2, gradient_clip=1.0, betas=(0.9, 0.98)),
        masking=Masking(),
        tokens_per_batch=65_536,
    ),
}


def preset_for(name: str, context: str | None) -> Preset:
    """Return a preset for data with a context, or without.

    A context alone leaves a bin no sentence to attend to: there 'small' reads bins from the `<eos>` of their
    chromosome, which was better on validation cells.
    """
    chosen = PRESETS[one_of(name, PRESETS, "preset")]
    if name != "small" or context is None:
        return chosen
    return replace(
        chosen,
        network=replace(chosen.network, decoder="chromosome"),
        training=replace(chosen.training, max_epochs=12),
    )


def resolve_network(
    owner: type, base: AtacFormerConfig, options: dict[str, Any], *, pretrained: bool
) -> AtacFormerConfig:
    """Return a network with the user's choices in it; one that the class `owner` does not know is named."""
    known = FREE if pretrained else {f.name for f in fields(AtacFormerConfig)} - _SIZES
    kept = "With pretrained=, AtacFormer takes the network as it is; it"
    refuse_unknown(kept if pretrained else owner, options, known | _MASKING)
    if "class_weights" in options:
        weights = options["class_weights"]
        options = {**options, "class_weights": tuple(weights) if isinstance(weights, list | tuple) else (weights,)}
    return checked(replace(base, **options))


def check_read(options: dict[str, Any], base: AtacFormerConfig, setup: Mapping[str, Any], pretrained: Any) -> None:
    """Raise where an option is named that is read with other data, or by another network, alone."""
    with_labels = (("label_weight", "label_balance"), bool(setup.get("labels")), "data with labels, labels=[...]")
    anew = (("start",), pretrained is None, "a network of its own, without pretrained=")
    refuse_unread(options, base, [with_labels, anew])


def checked(c: AtacFormerConfig) -> AtacFormerConfig:
    """Return a network whose sizes are those of a model that can be."""
    own_types(c)
    one_of(c.decoder, DECODERS, "decoder")
    one_of(c.eos, ("inside", "outside", "both"), "eos")
    for name, high in (("k", 4096), ("d", 16_384), ("n_layers", 256), ("n_heads", 1024), ("n_hidden", 65_536)):
        in_range(getattr(c, name), 1, high, name)
    if c.d % c.n_heads:
        raise ChromatellError(f"n_heads={c.n_heads} does not divide d={c.d}. Take d={c.d // c.n_heads * c.n_heads}.")
    in_range(c.dropout, 0, 0.95, "dropout", whole=False)
    in_range(c.label_weight, 0, 1e6, "label_weight", whole=False)
    if len(c.class_weights) != 3:
        raise ChromatellError(f"class_weights={c.class_weights!r}: three are needed, of closed, seen and removed bins.")
    for weight in c.class_weights:
        in_range(weight, 1e-6, 1e6, "class_weights", whole=False)
    return c


def resolve_masking(base: Masking, options: dict[str, Any]) -> tuple[Masking, dict[str, Any]]:
    """Return the masking with the user's choices in it, and the other options."""
    m = replace(base, **{k: v for k, v in options.items() if k in _MASKING})
    for name in ("low", "high", "empty", "by_frequency"):
        in_range(getattr(m, name), 0, 1, name, whole=False)
    if m.low > m.high:
        raise ChromatellError(f"low={m.low} is over high={m.high}: the share of removed bins is drawn between them.")
    in_range(m.n_seen, 1, 10**6, "n_seen")
    in_range(m.n_negatives, 1, 10**6, "n_negatives")
    in_range(m.per_removed, 0, 1000, "per_removed", whole=False)
    return m, {k: v for k, v in options.items() if k not in _MASKING}
