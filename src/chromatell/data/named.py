"""Modalities by the user's own names, and layers in place of `X`: one rule for every verb."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any, ParamSpec, TypedDict, TypeVar, cast

import pandas as pd
from anndata import AnnData
from mudata import MuData

from chromatell._arguments import arguments, check, wraps_with_keywords
from chromatell._compat import layer_names, no_pull
from chromatell._docs import TEXTS, completed
from chromatell._keys import ATAC, RNA
from chromatell._nearest import names_there
from chromatell._settings import file_name
from chromatell._validate import SWAP, ChromatellError, check_writable, examples
from chromatell.data.chosen import MEASURED_IS
from chromatell.data.predictions import attach

Layer = str | Mapping[str, str] | None
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Modalities(TypedDict, total=False):
    """Keywords that `modalities` honours; ``TEXTS["modalities"]`` says what each is."""

    rna: str
    atac: str
    layer: Layer


_MAPPINGS = ("uns", "obsm", "varm", "obsp", "varp")
# a call of a verb on the user's data, up to its last bracket; brackets in it may hold brackets once
_CALL = re.compile(r"(ctl\.(?:pp|tl)\.\w+\(mdata(?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)")


def modalities(verb: Callable[_P, _R]) -> Callable[_P, _R]:
    """Honour `rna`, `atac` and `layer` of a function whose first argument is data, and complete its docstring.

    The function sees a MuData with 'rna' and 'atac', whose `X` is the layer, that shares every matrix; what it writes
    is then carried into the user's object, under the user's names. With the names and matrices as they are nothing of
    this is done.
    """
    checked = arguments(verb, also=(RNA, ATAC, "layer"))
    first, writes = next(iter(inspect.signature(verb).parameters)), "copy" in inspect.signature(verb).parameters

    @wraps_with_keywords(verb)
    def named(*args: Any, rna: str = RNA, atac: str = ATAC, layer: Layer = None, **kwargs: Any) -> Any:
        if writes:
            _make_writable(args[0] if args else kwargs.get(first))
        if kwargs.get("copy"):
            _copyable(args[0] if args else kwargs.get(first))
        if (rna, atac) == (RNA, ATAC) and layer is None:
            return checked(*args, **kwargs)
        check("rna", rna, str, RNA)
        check("atac", atac, str, ATAC)
        data, *rest = args if args else (kwargs.pop(first),)
        if not isinstance(data, MuData | AnnData):
            is_path = isinstance(data, str | os.PathLike)
            set_here = {"rna=": rna != RNA, "atac=": atac != ATAC, "layer=": layer is not None}
            given = ", ".join(name for name, is_set in set_here.items() if is_set)
            raise ChromatellError(
                f"{given} is for a MuData or an AnnData, got {type(data).__name__}. "
                + ("A file is read first: mdata = ctl.io.read(path)." if is_path else "Leave it out.")
            )
        if copied := bool(kwargs.get("copy")):
            data, kwargs["copy"] = data.copy(), False
        names = {rna: RNA, atac: ATAC}
        inner = _inner(data, rna, atac, layer)
        before = dict(inner.mod) if isinstance(inner, MuData) else {}
        try:
            result = checked(inner, *rest, **kwargs)
        except ChromatellError as error:
            error.args = (_renamed(str(error), names),)
            raise
        _carry(data, inner, {own: name for name, own in names.items()}, before)
        if copied:
            return data
        return _result(result, data, names) if isinstance(result, MuData) else result

    parameters = list(inspect.signature(named).parameters)
    named.__doc__ = completed(inspect.getdoc(verb) or "", parameters, TEXTS["modalities"])
    return cast("Callable[_P, _R]", named)  # `rna`, `atac` and `layer` stand in the signature of `verb`


def _make_writable(data: Any) -> None:
    """Make a view of a MuData an object of its own, before any work; raise for one of cells in a file.

    mudata would do so at the first write into it, but not where a modality is added, which breaks the view.
    """
    check_writable(data)
    if isinstance(data, MuData) and data.is_view:
        data.obs = data.obs.copy()


def _copyable(data: Any) -> None:
    """Raise, before any work, where an object whose matrices lie in a file is asked to be copied."""
    mods = data.mod.values() if isinstance(data, MuData) else [data] if isinstance(data, AnnData) else []
    backed = [data] if isinstance(data, MuData) and data.isbacked else [a for a in mods if a.isbacked]
    if not backed:
        return
    file = file_name(getattr(backed[0], "filename", None) or "")
    raise ChromatellError(
        f"copy=True was asked of cells whose matrices lie in a file ({file}), and a copy would need a file of its own. "
        "Leave copy= out: what is computed is written into the object in memory, and the file stays as it is. Or read "
        "all of it: mdata = ctl.io.read(path)."
    )


def _inner(data: MuData | AnnData, rna: str, atac: str, layer: Layer) -> Any:
    """Return what a function is to see, or raise where names or layers are not there."""
    if isinstance(data, AnnData):
        if (rna, atac) != (RNA, ATAC) or not isinstance(layer, str):
            raise ChromatellError(
                "An AnnData has one modality: rna= and atac= are for a MuData, and layer= is the name of a layer."
            )
        return _shared(data, layer, "adata")
    if rna == atac:
        raise ChromatellError(f"rna= and atac= both name {rna!r}. Name two modalities of {sorted(data.mod)}.")
    for own, name in ((rna, RNA), (atac, ATAC)):
        if own != name and own not in data.mod:
            raise ChromatellError(
                f"{name}={own!r} is no modality of the MuData; it has {names_there(data.mod, own, 8)}."
            )
        if own != name and name in data.mod and name not in (rna, atac):
            raise ChromatellError(
                f"{name}={own!r} is asked for, and the MuData has a modality {name!r} as well. Take that out of it, or "
                f"leave {name}= out."
            )
    layers = dict(layer) if isinstance(layer, Mapping) else {n: layer for n in (rna, atac) if n in data.mod and layer}
    if unknown := [n for n in layers if n not in (rna, atac) or n not in data.mod]:
        raise ChromatellError(f"layer= names modalities {examples(unknown)}; it is for {rna!r} and {atac!r}.")
    canonical = {rna: RNA, atac: ATAC}
    mods = {
        canonical.get(n, n): _shared(a, layers[n], f"mdata.mod[{n!r}]") if layers.get(n) else a
        for n, a in data.mod.items()
    }
    with no_pull():
        inner = MuData(mods, axis=int(data.axis))
    if not inner.obs_names.equals(data.obs_names):
        raise ChromatellError("mdata.obs is not in step with its modalities. Call mdata.update() first.")
    for column in data.obs:
        inner.obs[column] = data.obs[column]
    for name, value in data.obsm.items():
        if name not in data.mod:
            inner.obsm[name] = value
    inner.uns.update(data.uns)
    return inner


def _shared(adata: AnnData, layer: str, where: str) -> AnnData:
    """Return an AnnData whose `X` is a layer and that shares all matrices."""
    if layer not in adata.layers:
        names = names_there(layer_names(adata), layer, 8)
        cure = "X is read where layer= is left out"
        if adata.layers.keys():
            cure = f"The layer of one modality alone is layer={{'rna': {next(iter(layer_names(adata)))!r}}}"
        raise ChromatellError(f"{where} has no layer {layer!r}; there: {names}. {cure}.")
    return with_matrix(adata, adata.layers[layer])


def with_matrix(adata: AnnData, x: Any, **more: Any) -> AnnData:
    """Return an AnnData with another `X`, the same other matrices and tables of its own; `more` is for AnnData."""
    return AnnData(
        x,
        obs=adata.obs.copy(),
        var=adata.var.copy(),
        uns=dict(adata.uns),
        obsm=dict(adata.obsm),
        varm=dict(adata.varm),
        obsp=dict(adata.obsp),
        varp=dict(adata.varp),
        layers={name: adata.layers[name] for name in layer_names(adata)},
        **more,
    )


def _carry(data: Any, inner: Any, own: Mapping[str, str], before: Mapping[str, AnnData]) -> None:
    """Write what is new in `inner` into the user's object; `before` are the modalities that `inner` had at first."""
    if isinstance(data, AnnData):
        _carry_anndata(data, inner)
        return
    carry_table(data.obs, inner.obs)
    carry_mapping(data.uns, inner.uns)
    if inner.mod.keys() == before.keys():
        _carry_names(data.var, inner.var)
    for name, adata in inner.mod.items():
        target = data.mod.get(own.get(name, name))
        if target is None or target is before[name] is not adata:  # new, or made anew
            attach(data, own.get(name, name), adata)
        elif target is not adata:
            _carry_anndata(target, adata)
    carry_mapping(data.obsm, inner.obsm, leave=inner.mod)


def _carry_names(target: pd.DataFrame, source: pd.DataFrame) -> None:
    """Name the rows of `target` as those of `source` are, which are the same ones."""
    if not target.index.equals(source.index):
        target.index = source.index


def _drop_removed(target: Any, source: Any, parts: Sequence[str]) -> None:
    """Take out of `target` what `source`, which began with all of it, has no more."""
    for part in parts:
        held, left = getattr(target, part), getattr(source, part)
        for name in [n for n in held if n not in left]:
            del held[name]


def _carry_anndata(target: AnnData, source: AnnData) -> None:
    _drop_removed(target, source, ("obs", "var", *_MAPPINGS))
    _carry_names(target.var, source.var)
    carry_table(target.obs, source.obs)
    carry_table(target.var, source.var)
    for part in _MAPPINGS:
        carry_mapping(getattr(target, part), getattr(source, part))


def carry_table(target: pd.DataFrame, source: pd.DataFrame) -> None:
    """Write the columns of `source` that are new or changed into `target`."""
    for name in source.columns:
        if name not in target or not target[name].equals(source[name]):
            target[name] = source[name]


def carry_mapping(target: MutableMapping[str, Any], source: Mapping[str, Any], leave: Any = ()) -> None:
    """Write the entries of `source` into `target`, but for those to leave."""
    for name, value in source.items():
        if name not in leave and (name not in target or target[name] is not value):
            target[name] = value


def _renamed(text: str, names: Mapping[str, str]) -> str:
    """Return an error's text with the user's names of modalities, also in the calls that it offers."""
    own_of = {name: own for own, name in names.items()}
    turned = f"Name them the other way round: rna={own_of[ATAC]!r}, atac={own_of[RNA]!r}."
    text = text if (own_of[RNA], own_of[ATAC]) == (RNA, ATAC) else text.replace(SWAP, turned)
    users = {f"mod[{name!r}]": f"mod[{own!r}]" for own, name in names.items()}
    any_of = "|".join(map(re.escape, users))  # at once: of two that are swapped, one after the other would be one
    text = re.sub(any_of, lambda found: users[found[0]], text)
    more = "".join(f", {name}={own!r}" for own, name in names.items() if own != name)
    said = f" {MEASURED_IS}" if own_of[ATAC] != ATAC and f"No prediction {own_of[ATAC]!r} in" in text else ""
    return _CALL.sub(lambda found: f"{found[1]}{more})", text) + said


def _result(result: MuData, data: Any, names: Mapping[str, str]) -> MuData:
    """Return a new MuData under the user's names, whose modalities are those of the query where it had them."""
    if not isinstance(data, MuData):
        return result
    own = {name: mine for mine, name in names.items()}
    mods = {}
    for name, adata in result.mod.items():
        mine = own.get(name, name)
        query = data.mod.get(mine) if name in own else None
        mods[mine] = query if query is not None and query.obs_names.equals(adata.obs_names) else adata
    with no_pull():
        renamed = MuData(mods)
    for column in result.obs:
        renamed.obs[column] = result.obs[column]
    renamed.uns.update(result.uns)
    return renamed
