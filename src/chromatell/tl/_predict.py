"""``ctl.tl.predict``: apply any stored model to new cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._compat import no_pull
from chromatell._dask import current_client
from chromatell._docs import example
from chromatell._keys import ATAC, ATAC_PRED, MAPPED, RNA, START
from chromatell._rows import with_tables
from chromatell._validate import ChromatellError, examples, modality, unique_names, warn
from chromatell.data.chosen import cell_labels
from chromatell.data.named import Modalities, modalities
from chromatell.data.predictions import of_groups, write_cell_columns, write_out_of_range
from chromatell.data.tracks import BinnedTracks
from chromatell.genome.regions import parse_regions
from chromatell.models import load
from chromatell.models._base import ChromatinModel
from chromatell.models.baselines.cells import BASELINES
from chromatell.pp._match_regions import match_regions
from chromatell.tl._predict_tracks import predict_tracks
from chromatell.tl._targets import model_key
from chromatell.tl._train import provenance, store_prediction, unread_regions


@modalities
@example("predicted cells")
def predict(
    data: AnnData | MuData | BinnedTracks | Mapping[str, Any] | str | Path,
    model: Any,
    *,
    key: str | None = None,
    regions: Any = None,
    fasta: Any = None,
    depth: str = "predicted",
    out: str | Path | None = None,
    dtype: Literal["float32", "float16"] = "float32",
    top_k: int | None = None,
    groupby: str | None = None,
    client: Any = None,
    bigwig: str | Path | None = None,
    overwrite: bool = False,
    **more: Unpack[Modalities],
) -> MuData | BinnedTracks:
    """Return new data in which a stored model has predicted: the accessibility of each cell, or tracks.

    Parameters
    ----------
    data
        Cells with expression: an AnnData, a MuData with modality `rna` (and the other inputs of the model, by the names
        that they had in training), or the path of a `.h5ad` or `.h5mu`. Genes are
        matched by name; others among them change nothing, missing ones are estimated from the others and named, and
        under half of them is refused. For an `AtacFormer` without context: cells with open bins, matched by name;
        missing ones are closed, and under a tenth of them is refused. For a model that reads tracks: BinnedTracks or
        the path of their store, with the inputs of one sample, which are found by name, or else by assay and strand; or
        bigWigs, ``{'plus': path, 'minus': path}``, as ``ctl.pp.bin_tracks`` takes them.
    model
        A `.h5mu`, `.zarr` or exported model (path), data that carries a model, or a model. Only the model of a file
        is read, never its cells, and nothing in it is executed.
    key
        Which model, where there are several.
    regions
        Names of regions to predict; None for all that the model knows. Others are given as a BED file, a table with
        `chrom`, `start`, `end`, or names like 'chr1:100-600': an `XChrom` model predicts them from their sequence (or
        int8 sequences); a `Dense` model gives those that its own regions cover by half the mean of these, see
        ``ctl.pp.match_regions``, and leaves out the others with a warning. For tracks: names of chromosomes.
    fasta
        Path of the genome, for regions that the model does not hold.
    depth
        'predicted' from expression, 'fixed' at the training mean, or 'observed' (the cell's own, from its ATAC: an
        upper bound). For tracks: 'predicted' divides each input by its own mean, so that its depth does not matter,
        'fixed' by that of training.
    out
        Path of a Zarr store for the predictions, needed above ``ctl.settings.dense_limit``. Until it is complete it is
        ``'<out>.partial'``, which readers refuse; a run that was stopped or killed leaves that, and the same call with
        the same cells goes on from there. For tracks it is written chromosome by chromosome.
    dtype
        Number type of the store: 'float32', or 'float16', half the space and three digits.
    top_k
        Keep the most probable regions of each cell, so many, and no others: the prediction is then sparse, 8 bytes a
        region kept. What is not kept is not predicted to be closed, so such a prediction cannot be scored.
    groupby
        Column of `obs`: return the mean over the cells of each group, and not the cells. Cells without a label are left
        out. Nothing of a run that is stopped is kept.
    client
        A `dask.distributed.Client`: its workers predict the cells; None takes the current client, if one was made, else
        predicts here. With `out`, the workers write into it: it must lie on a disk that all of them share.
    bigwig
        For tracks: a folder, which gets a bigWig of each predicted target, ``'<target>_<key>.bw'``; or with one target
        a path that ends in ``.bw``.
    overwrite
        Replace bigWigs that are there.

    Returns
    -------
    MuData
        Modality `rna` is the given one (not copied); ``mod['atac_pred'].X`` is float32 (n_obs, n regions), the
        probability that each region is open. With `out`, ``uns['ctl']['predictions']`` names the store instead, and
        ``ctl.io.open_prediction`` opens it. With `top_k`, `X` is CSR. With `groupby`, it has the modality ``atac_pred``
        alone, or none with `out`: its rows are groups, and ``obs['n_cells']``, int64, counts their cells.
        Where a `Dense` model was asked for other regions than its own, ``mod['atac_pred'].var['ctl_mapped']``, float64,
        is the share of each one's bases that the model's regions cover.
        ``mod['atac_pred'].obs['ctl_out_of_range']``, float32, says how far each cell lies from the training cells in
        what the model reads of its expression; 5% of validation cells lie above 1, and a query with over 25% there is
        warned of. It is not there where the model reads an embedding of the user's own, or open bins.
        `AtacFormer` adds its embedding and labels to ``mod['atac_pred'].obs`` and `.obsm`.
    BinnedTracks
        Where the model reads tracks: the given ones, arrays shared, and with them tracks of role 'prediction', named
        ``'<target>_<key>'``.

    Raises
    ------
    ChromatellError
        The model or the query cannot be used.

    Examples
    --------
    >>> query = ctl.tl.predict(mdata.mod["rna"], model=mdata)
    >>> query.mod["atac_pred"].shape
    (400, 60)
    """
    loaded: Any = model if isinstance(model, ChromatinModel) else load(model, key=key)
    if loaded.declared.tracks:
        given = {"dtype": dtype != "float32", "top_k": top_k, "groupby": groupby, "client": client}
        if wrong := [name for name, value in given.items() if value]:
            raise ChromatellError(f"{wrong[0]}= is of cells x regions; the model reads tracks. Leave it out.")
        asked = {"depth": depth, "fasta": fasta, "out": out, "bigwig": bigwig, "overwrite": overwrite}
        return predict_tracks(data, loaded, key or loaded.family, chroms=regions, **asked)
    if bigwig is not None and not isinstance(data, BinnedTracks | Mapping):
        raise ChromatellError("bigwig= is for models that read tracks. Leave it out; out= writes a store.")
    if overwrite:
        raise ChromatellError(
            "overwrite= is for the files of bigwig=, and a store is never replaced. Name another out=, or leave "
            "overwrite= out."
        )
    _check_regions(regions)
    source, cells, reads = _query(loaded, data)
    if groupby is None:
        _no_others(source, cells, reads, loaded.reads_beside)
    name = model_key(key or loaded.family, BASELINES)
    if isinstance(regions, str) and not loaded.declared.sequence and (parse_regions([regions])[START] >= 0).all():
        regions = [regions]  # a name, and no file
    mapped = _mapped(loaded, regions, out, top_k)
    columns, wanted = _asked(loaded, regions if mapped is None else mapped.needed, fasta)
    groups = None if groupby is None else _groups(source, cells, groupby)
    resume = None if out is None else {"model": loaded.content_hash, "depth": depth}
    how = {"top_k": top_k, "groups": groups, "client": current_client(client), "resume": resume}
    values: Any = loaded.predict(source, regions=wanted, depth=depth, out=out, dtype=dtype, **how)
    if mapped is not None:
        columns, values = mapped.names, mapped.carry(values)
    origin = {**provenance(loaded, depth, cells.obs_names), **unread_regions(loaded, source)}
    if top_k is not None:
        origin["top_k"] = min(int(top_k), len(columns))
    if groups is not None:
        return _of_groups(name, groups, groupby, values, columns, origin)
    result = _with_query(source, cells, reads, loaded.reads_beside)
    store_prediction(result, name, values, columns, origin)
    if mapped is not None:
        result.mod[ATAC_PRED].var[MAPPED] = mapped.covered
    if reads == RNA or RNA in result.mod:
        write_out_of_range(result, loaded.out_of_range(source), query=True)
    if loaded.declared.cell_columns and ATAC_PRED in result.mod:  # not where the prediction lies in a store
        sentence = reads == ATAC or ATAC in result.mod
        write_cell_columns(result.mod[ATAC_PRED], *loaded.cell_columns(source, name, sentence=sentence))
    return result


def _query(model: ChromatinModel, data: Any) -> tuple[MuData | AnnData, AnnData, str]:
    """Return the query, the cells of it that the model reads, and the modality that they are of."""
    if isinstance(data, BinnedTracks | Mapping):
        raise ChromatellError(
            f"The model is of family {model.family!r}, which reads cells, not tracks. Train one that does: "
            "ctl.tl.nascent(tracks)."
        )
    source = _read(data)
    reads = ATAC if model.reads_atac else RNA
    cells = modality(source, reads) if isinstance(source, MuData) else source
    if not isinstance(cells, AnnData):
        raise ChromatellError(
            f"predict() takes an AnnData of {'open bins' if reads == ATAC else 'expression'}, a MuData or a path; got "
            f"{type(data).__name__}."
        )
    if not isinstance(source, MuData):
        cells = source = with_tables(cells)
    if cells.n_obs == 0 or cells.n_vars == 0:
        raise ChromatellError(
            f"The query is empty ({cells.n_obs} cells x {cells.n_vars} {'bins' if reads == ATAC else 'genes'}). Check "
            "the filters before this call."
        )
    unique_names(cells, reads if isinstance(source, MuData) else "")
    return source, cells, reads


def _no_others(source: MuData | AnnData, cells: AnnData, reads: str, beside: Sequence[str]) -> None:
    """Raise where a modality that goes into the result holds cells that cannot be predicted."""
    others = [n for n in (RNA, ATAC, *beside) if n != reads and n in source.mod] if isinstance(source, MuData) else []
    for name in others:
        names = source.mod[name].obs_names
        left = names[~names.isin(cells.obs_names)]
        if len(left):
            raise ChromatellError(
                f"data.mod[{name!r}] holds {len(left):,} cells that data.mod[{reads!r}], which the model reads, does "
                f"not hold (such as {examples(left)}). Keep its cells: data = "
                f"data[data.mod[{reads!r}].obs_names].copy()."
            )


def _with_query(source: MuData | AnnData, cells: AnnData, reads: str, beside: Sequence[str]) -> MuData:
    """Return a new MuData of what the model reads of the query, with the columns of its `obs`."""
    mods = {reads: cells}
    if isinstance(source, MuData):
        mods |= {name: source.mod[name] for name in (RNA, ATAC, *beside) if name in source.mod}
    with no_pull():
        result = MuData(mods)
    if isinstance(source, MuData):
        for column in source.obs.columns:
            result.obs[column] = source.obs[column].reindex(result.obs_names)
    return result


def _check_regions(regions: Any) -> None:
    """Raise where regions are neither names nor something that holds regions, or sequences."""
    if isinstance(regions, str | Path | pd.DataFrame | AnnData | MuData | None) or getattr(regions, "ndim", 1) == 2:
        return
    names = list(regions) if isinstance(regions, Iterable) else [regions]
    if not all(isinstance(name, str) for name in names):
        shown = " ".join(repr(regions).split())[:80]
        raise ChromatellError(
            f"regions={shown} holds no names. Needed: names such as 'chr1:100-600', a table with chrom, start and end, "
            "an AnnData of regions, or the path of a BED."
        )


def _asked(model: Any, regions: Any, fasta: Any) -> tuple[pd.Index, Any]:
    """Return the names of the regions asked for, and what `predict` takes in their place: files are read once."""
    if model.declared.sequence:
        asked = model.asked(regions, fasta)
        return asked.names, asked
    if fasta is not None:
        raise ChromatellError(
            f"fasta= was given, but a {type(model).__name__} model reads no sequence: leave it out. XChrom does."
        )
    names = model.region_names(regions)
    return names, names


@dataclass(frozen=True)
class _Mapped:
    """How values of a model's own regions become those of the regions asked for."""

    needed: pd.Index
    names: pd.Index
    covered: np.ndarray
    weights: Any  # CSR (names, needed)

    def carry(self, values: np.ndarray) -> np.ndarray:
        """Return float32 (cells, names)."""
        return np.ascontiguousarray((self.weights @ values.T).T, dtype=np.float32)


def _groups(source: Any, cells: AnnData, groupby: str) -> pd.Categorical:
    """Return the group of each cell, from `obs` of the MuData or of the cells."""
    codes, names = cell_labels(source, groupby)
    mine = pd.Series(codes, index=source.obs_names).reindex(cells.obs_names).to_numpy()
    left = int((mine < 0).sum())
    if left:
        warn(f"{left:,} of {len(mine):,} cells have no label in obs[{groupby!r}] and are left out.")
    kept, mine_again = np.unique(mine[mine >= 0], return_inverse=True)
    position = np.full(len(mine), -1)
    position[mine >= 0] = mine_again
    return pd.Categorical.from_codes(position, [names[i] for i in kept])


def _of_groups(
    key: str, groups: pd.Categorical, groupby: str | None, values: Any, columns: pd.Index, origin: dict[str, Any]
) -> MuData:
    """Return a MuData of the groups."""
    names = pd.Index(groups.categories.astype(str), name=groupby)
    codes = np.asarray(groups.codes)
    obs = pd.DataFrame({"n_cells": np.bincount(codes[codes >= 0], minlength=len(names))}, index=names)
    with no_pull():
        result = MuData({}) if isinstance(values, Path) else MuData({ATAC_PRED: of_groups(obs, key, values, columns)})
    store_prediction(result, key, values, columns, origin)
    return result


def _mapped(model: ChromatinModel, regions: Any, out: Any, top_k: Any) -> _Mapped | None:
    """Return the map where a `Dense` is asked for regions that are not its own, else None."""
    if model.family != "dense" or regions is None:
        return None
    own = pd.Index(model.var_names[ATAC])
    if not isinstance(regions, str | Path | pd.DataFrame | AnnData | MuData):
        regions = pd.Index(regions).astype(str)
        if regions.isin(own).all() or (parse_regions(regions)[START] < 0).any():
            return None  # its own, or names that `region_names` says are none
    if top_k is not None:
        raise ChromatellError(
            "top_k= keeps the model's own regions: leave top_k= out, or ask for regions of model.var_names['atac']."
        )
    if out is not None:
        raise ChromatellError(
            "out= writes the model's own regions. Predict them, ctl.tl.predict(data, model, out=...), and carry blocks "
            "of them over with ctl.pp.match_regions(query, model).weights; or leave out= away."
        )
    try:
        region_map = match_regions(regions, model)
    except ChromatellError as error:
        raise ChromatellError(
            f"{error} A Dense model knows the regions that it was trained on; regions that were never measured need a "
            "model that reads sequence: XChrom, ctl.tl.xchrom(mdata), asked for by key='xchrom'."
        ) from error
    if not region_map.matched.all():
        lost = region_map.query[~region_map.matched]
        warn(
            f"{len(lost):,} of {len(region_map.query):,} regions are covered by under half by the regions that the "
            f"model predicts (such as {examples(lost)}) and are left out."
        )
    weights = region_map.weights[region_map.matched]
    needed = np.unique(weights.indices)
    return _Mapped(
        own[needed], region_map.query[region_map.matched], region_map.covered[region_map.matched], weights[:, needed]
    )


def _read(data: Any) -> Any:
    if not isinstance(data, str | Path):
        return data
    from chromatell.io._guard import read

    return read(data)
