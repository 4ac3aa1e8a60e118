"""Docstrings of parameters that mean the same in many functions: written once."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

WIDTH = 112  # width of a text in a docstring
_Function = TypeVar("_Function", bound=Callable[..., Any])  # or a class

# group of functions -> parameters, as a docstring heads them -> what is said of them
TEXTS: dict[str, dict[str, str]] = {
    "modalities": {
        "rna, atac": "Your names of the modalities of expression and of accessibility.",
        "layer": (
            "Layer to read in place of `X`, of each of the two that is there; or a dict of modality to layer, such as "
            "``{'rna': 'counts'}``."
        ),
        "copy": "Return a new object; the one that was given stays as it is.",
    },
    "training": {
        "key_added": "Name of the model and of its prediction.",
        "depth": (
            "Depth at which cells are predicted: 'predicted' from expression, 'fixed', or 'observed' (reads "
            "their ATAC)."
        ),
        "depth_key": "Column of `atac.obs` with each cell's fragments.",
        "out": (
            "Path of a Zarr store for the predictions, needed above ``ctl.settings.dense_limit``; ``mdata.uns`` "
            "then holds its name and hash."
        ),
        "seed": (
            "The same seed gives the same weights on the same machine with the same number of threads; None "
            "follows ``ctl.settings.seed``."
        ),
    },
    "workers": {
        "client": (
            "A `dask.distributed.Client`, whose workers share the work; None takes the current client, if one was "
            "made, else works here. The result is the same, also where a worker dies."
        ),
    },
    "sequence": {
        "mdata": "Modality `rna` and a model that reads DNA; ``atac.varm['dna_code']`` or `fasta` for the sequences.",
        "regions": (
            "Names of ``mdata.mod['atac']``; or ``'chrom:start-end'``, a table with `chrom`, `start`, `end` or "
            "the path of a `.bed` (0-based, half-open), whose sequences come from `fasta`."
        ),
        "key": "Name of the model in `mdata`.",
        "model": (
            "A model, or the path of a file with one, in place of that in `mdata`; `key` chooses where a file "
            "holds several."
        ),
        "groupby": (
            "Column of `obs`; cells without a label are left out. None: the mean of all cells is one group, 'all'."
        ),
        "cells": "Names or a mask of the cells of ``mdata.mod['rna']`` to take; None for all.",
        "fasta": "Path of the genome, or a `chromatell.genome.Genome`.",
        "key_added": "Where in ``mdata.uns['ctl']`` the result goes.",
    },
    "plotted": {
        "key": "Name of the result.",
    },
    "result": {
        "key": "The model in `mdata`.",
        "groupby": "Column of `obs`.",
        "seed": "Seed of the draw; None follows ``ctl.settings.seed``.",
        "key_added": "Name of what is written.",
    },
    "genome plot": {
        "mdata": "With `atac_pred`, `atac`, or both.",
        "groups": "Which, in this order; None takes all.",
        "groupby": "Column of `obs`.",
        "key": "Which prediction; None takes the latest.",
        "annotation": "Genes to draw: GTF, BED or table, a path or a DataFrame.",
    },
    "sequence plot": {
        "region": "Which one; None takes the first.",
        "group": "Which group of cells; None takes the first.",
        "key": "``'ism'``, ``'attribution'``, or the `key_added` of either.",
    },
    "evaluated": {
        "mdata": "After ``ctl.tl.evaluate(mdata)``.",
        "models": "Which predictions; None draws every model.",
        "key": "`key_added` of that call.",
    },
    "ranking": {
        "y": (
            "Labels, bool or 0/1; (n,) or (n, m), dense or scipy sparse (a stored value other than 0 is a positive)."
        ),
        "score": "Scores of the same shape, float32 or float64, finite; higher means more likely positive.",
        "axis": "0 gives one value a column, 1 one value a row, None one value over all pairs.",
    },
    "split": {
        "seed": "Same seed, same split. None follows ``ctl.settings.seed``.",
        "key_added": "Column to write. The rest of the package reads the default.",
    },
    "tokens": {"tokens": "Integers 0 to 4, (length,) or (n, length)."},
    "tracks": {
        "tracks": "Tracks, or an AnnData of an interval of them.",
        "copy": "Return new tracks; those that were given stay as they are.",
    },
    "simulated": {
        "n_types": "Cell types.",
        "n_donors": "Donors, which differ in their shares of the cell types and in nothing else.",
        "depth": (
            "Mean number of fragments a cell, over all regions. None takes ``0.04 * n_regions``: about 3.5% of "
            "pairs open."
        ),
        "seed": "Seed of every draw; None follows ``ctl.settings.seed``.",
    },
}

# What the examples of several functions begin with, by what it ends with.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "predicted cells": (
        "mdata = ctl.datasets.simulate_multiome(400, 30, 60, seed=0)",
        "ctl.pp.split_cells(mdata, seed=0)",
        'ctl.tl.dense(mdata, train_kwargs={"max_epochs": 2})',
    ),
    "sequence model": (
        "mdata = ctl.datasets.simulate_sequence_multiome(n_cells=100, n_regions=60, seed=0)",
        "ctl.pp.split_cells(mdata, seed=0)",
        'ctl.tl.xchrom(mdata, train_kwargs={"max_epochs": 1})',
    ),
    "tracks": (
        "import numpy as np",
        "signal = np.random.default_rng(0).poisson(0.3, 4000)",
        'sizes = {"chr1": 200_000}',
        'tracks = ctl.data.BinnedTracks({"chr1": [signal, signal > 1]}, ["plus", "mark"], chrom_sizes=sizes)',
        'tracks.table.loc["plus", "role"] = "input"',
    ),
    "evaluated": (
        "mdata = ctl.datasets.simulate_multiome(300, 30, 60, n_types=2, seed=0)",
        "ctl.pp.split_cells(mdata, seed=0)",
        'ctl.tl.baseline(mdata, "svd_ridge")',
        'views = ["overall", "per_cell", "per_region", "calibration"]',
        'ctl.tl.evaluate(mdata, baselines=["region_mean"], views=views, n_bootstrap=10)',
    ),
}


def example(name: str) -> Callable[[_Function], _Function]:
    """Begin the example of a function with an import of the package and the lines of `EXAMPLES`."""
    lines = [">>> import chromatell as ctl", *(f">>> {line}" for line in EXAMPLES[name])]

    def begin(function: _Function) -> _Function:
        head, mark, tail = (inspect.getdoc(function) or "").partition("Examples\n--------\n")
        function.__doc__ = "\n".join([head + mark.rstrip(), *lines, tail])
        return function

    return begin


def documented(group: str) -> Callable[[_Function], _Function]:
    """Complete a docstring with the texts of a group; a function's own texts are kept."""

    def complete(function: _Function) -> _Function:
        doc = inspect.getdoc(function) or ""
        function.__doc__ = completed(doc, list(inspect.signature(function).parameters), TEXTS[group])
        return function

    return complete


def completed(doc: str, parameters: Sequence[str], shared: Mapping[str, str]) -> str:
    r"""Return a docstring with the shared parameters that it leaves out, in the order of the signature.

    A key of `shared` may name several, such as 'rna, atac'.

    Examples
    --------
    >>> doc = "Draw.\n\nParameters\n----------\nx\n    Data.\n\nReturns\n-------\nAxes"
    >>> completed(doc, ["x", "ax"], {"ax": "Axes to draw on."}).split("\n")[5:9]
    ['    Data.', 'ax', '    Axes to draw on.', '']
    """
    head, mark, tail = doc.partition("\n\nReturns\n")
    title = "Parameters\n----------"
    before, _, section = head.partition(title) if title in head else (f"{head}\n\n", "", "")
    entries = re.findall(r"^\S.*(?:\n(?:[ ].*)?)*$", section, re.MULTILINE)
    texts = {entry.partition("\n")[0].strip(): entry.rstrip() for entry in entries}
    said = {name for heading in texts for name in heading.replace("*", "").split(", ")}
    for key, text in shared.items():
        names = key.split(", ")
        if set(names) <= set(parameters) and not said & set(names):
            lines = textwrap.wrap(text, WIDTH, break_on_hyphens=False, break_long_words=False)
            texts[key] = "\n    ".join([key, *lines])
    place = {name: i for i, name in enumerate(parameters)}
    order = sorted(texts, key=lambda heading: place.get(heading.replace("*", "").split(", ")[0], len(place)))
    return "\n".join([f"{before}{title}", *(texts[heading] for heading in order)]) + mark + tail if texts else doc
