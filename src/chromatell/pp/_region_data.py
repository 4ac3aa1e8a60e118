"""What the preprocessing of regions takes: a MuData with `atac`, or an AnnData of regions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from anndata import AnnData
from mudata import MuData

from chromatell._keys import ATAC, BINNED, UNS
from chromatell._validate import ChromatellError, modality, unique_names
from chromatell.genome.builds import build_name, chromosome_sizes, identify


def regions_of(data: Any) -> AnnData:
    """Return the AnnData whose variables are the regions, and raise where nothing could be written about them."""
    if isinstance(data, AnnData):
        unique_names(data, "")
        if data.n_vars == 0:
            raise ChromatellError("The AnnData holds no region. Check the filters before this call.")
        atac = data
    else:
        atac = modality(data, ATAC)
    check_uns(data)
    return atac


def kept_sizes(bins: Any) -> dict[str, int] | None:
    """Return the chromosome sizes that `bin_genome` kept in the AnnData that it made; None where there are none."""
    try:
        sizes = json.loads(bins.uns[UNS][BINNED]["chrom_sizes"])
    except (AttributeError, KeyError, TypeError, ValueError):  # another's `uns`, or none
        return None
    return chromosome_sizes(sizes) if isinstance(sizes, dict) else None


def declared_build(data: MuData | AnnData, atac: AnnData) -> str:
    """Return the build that the object says it is of, or was binned in; ``''`` where that is none, or several."""
    columns = atac.var["genome"].dropna().unique() if "genome" in atac.var else []
    names = [atac.uns.get("genome"), data.uns.get("genome"), *columns]
    binned = kept_sizes(atac)
    builds = {build_name(name) for name in names if isinstance(name, str)} | {identify(binned or {})}
    builds -= {""}
    return builds.pop() if len(builds) == 1 else ""


def check_uns(data: MuData | AnnData) -> None:
    """Raise where ``uns['ctl']`` is something else than the package's records."""
    if not isinstance(data.uns.get(UNS, {}), Mapping):
        raise ChromatellError(
            f"uns[{UNS!r}] is not a dict; the package keeps its records there. Remove it: del mdata.uns[{UNS!r}]."
        )
