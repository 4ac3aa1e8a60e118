"""``ctl.tl.dense``: train on paired cells, store the model, predict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mudata import MuData

from chromatell._docs import documented
from chromatell._keys import ATAC, RNA
from chromatell.data.named import Layer, modalities
from chromatell.models import family_class
from chromatell.tl._train import train_and_store, training


@modalities
@documented("training")
def dense(
    mdata: MuData,
    *,
    inputs: Sequence[str] = (RNA,),
    preset: str = "default",
    key_added: str = "dense",
    batch_key: str | None = None,
    continuous_covariate_keys: list[str] | None = None,
    depth: str = "predicted",
    depth_key: str | None = None,
    out: str | Path | None = None,
    seed: int | None = None,
    train_kwargs: dict[str, Any] | None = None,
    rna: str = RNA,
    atac: str = ATAC,
    layer: Layer = None,
    copy: bool = False,
    **model_kwargs: Any,
) -> MuData | None:
    """Train a `Dense` model on expression and accessibility, keep it in `mdata`, and predict every cell.

    Parameters
    ----------
    mdata
        Modalities `rna` and `atac` of the same cells, with ``obs['ctl_split']`` from ``ctl.pp.split_cells``. Where
        ``ctl.pp.select_features`` was run, the selected genes and regions are used.
    inputs
        Modalities that are read: `rna`, and any others of the same cells, such as ``("rna", "prot")``. Each
        gives its selected variables, by statistics of the training cells that travel with the model. Counts are divided
        by the cell's total and log1p-transformed; where over half of them are above zero, as in panels of proteins,
        they become centred log ratios, since a cell's geometric mean is a steadier size there than a total that one
        abundant protein makes. Values that are no counts are taken as they are. Then they are z-scored, and up to 50
        principal components are read, and the log total of counts.
    preset
        'default' or 'wizel2025', see `chromatell.models.Dense`.
    batch_key, continuous_covariate_keys
        Columns of `obs`.
    train_kwargs
        Passed to `Dense.train`: `max_epochs`, `lr`, `accelerator`, `checkpoint_dir`, ...
    model_kwargs
        Passed to `Dense`: `encoder`, `likelihood`, `loss`, `n_latent`, ...; `stack=False` predicts with the network
        alone, and not with what its mean with simpler predictors has on validation cells.

    Returns
    -------
    None, or a new MuData with ``copy=True``. Written:

    ``mdata.mod['atac_pred']`` : AnnData
        `X`, float32 (n_obs, n regions): probability that the region is open. Other models of the same MuData are in
        `layers`.
        `obs['ctl_out_of_range']`, float32: how far the cell lies from the training cells in what the model reads; 5% of
        the validation cells lie above 1. Training cells lie further out, as the components were fitted on them.
    ``mdata.uns['ctl']['models'][key_added]`` : dict
        The model: it travels with the file.

    Raises
    ------
    ChromatellError
        The input cannot be used; nothing was changed.

    Notes
    -----
    Peak memory: the training expression (up to 1 GB, then block by block) and the predictions, n_obs x n regions
    float32.

    References
    ----------
    Stoeckius et al., Nature Methods 2017 (centred log ratios of proteins).

    Examples
    --------
    >>> import chromatell as ctl
    >>> mdata = ctl.datasets.simulate_multiome(300, 50, 80, seed=0)
    >>> ctl.pp.split_cells(mdata, seed=0)
    >>> ctl.tl.dense(mdata, train_kwargs={"max_epochs": 2})
    >>> mdata.mod["atac_pred"].shape
    (300, 80)
    """
    return train_and_store(
        family_class("dense"),
        mdata,
        key=key_added,
        setup={
            "batch_key": batch_key,
            "continuous_covariate_keys": continuous_covariate_keys,
            "depth_key": depth_key,
            "inputs": inputs,
        },
        model={"preset": preset, **model_kwargs},
        train=training(seed, train_kwargs),
        predict={"depth": depth, "out": out},
        copy=copy,
    )
