"""Binning, statistics and baselines on the workers of a dask cluster of two processes, of which one is killed midway.

Oracles are a loop over fragments, and the same call in this process without workers.
"""

from __future__ import annotations

import os
import signal
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from tests.models import tiny_families as tiny
from tests.pp.made_fragments import SIZES, as_counter, random_fragments, slow_counts, write

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning, _dask
from chromatell._rows import DiskMatrix, matrix
from chromatell.data import expression, sparse_expression
from chromatell.data.predictions import read_prediction
from chromatell.models.baselines import parts
from chromatell.pp import _select_features

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")


@pytest.fixture
def client(monkeypatch):
    """Two workers; one of them is killed when the first result has come."""
    told, killed = _dask._told, []

    def killing(future):
        value = told(future)
        if not killed:
            killed.append(min(client.run(os.getpid).values()))
            os.kill(killed[0], signal.SIGKILL)
        return value

    monkeypatch.setattr(_dask, "_told", killing)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "3s"}),  # to one that is dead; 30 s otherwise
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client
    assert killed


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    mdata = ctl.datasets.simulate_multiome(300, 30, 60, n_types=2, truth=False, seed=1)
    ctl.pp.split_cells(mdata, seed=0)
    path = tmp_path_factory.mktemp("cells") / "cells.h5mu"
    mdata.write(path)
    return ctl.io.open_cells(path)


@pytest.fixture
def samples(tmp_path):
    """Eight fragments files, and what they hold."""
    tables = {f"s{i}": random_fragments(np.random.default_rng(i), 400) for i in range(8)}
    return {name: write(tmp_path / f"{name}.tsv.gz", table) for name, table in tables.items()}, tables


def expected_counts(tables, size):
    found = Counter()
    for name, table in tables.items():
        counts = slow_counts(table.itertuples(index=False), SIZES, size)
        found.update({(f"{name}:{barcode}", place): n for (barcode, place), n in counts.items()})
    return found


def test_several_fragments_files(client, samples, monkeypatch):
    paths, tables = samples
    options = {"size": 500, "chrom_sizes": SIZES, "min_fragments": 1}
    there = ctl.pp.bin_genome(paths, client=client, **options)
    assert as_counter(there) == expected_counts(tables, 500)
    assert there.obs["sample"].tolist() == [name.split(":")[0] for name in there.obs_names]
    here = ctl.pp.bin_genome(paths, **options)
    monkeypatch.setattr(ctl.settings, "n_jobs", 2)
    threads = ctl.pp.bin_genome(paths, **options)
    for found in (here, threads):
        pd.testing.assert_frame_equal(found.obs, there.obs)
        pd.testing.assert_frame_equal(found.var, there.var)
        assert (found.X != there.X).nnz == 0
        assert found.uns["ctl"]["bin_genome"] == there.uns["ctl"]["bin_genome"]


def test_cells_of_several_files_in_the_order_asked_for(samples):
    paths, tables = samples
    two = {name: paths[name] for name in ("s2", "s5")}
    cells = ["s5:C1", "s2:C3", "s5:C2"]
    found = ctl.pp.bin_genome(two, chrom_sizes=SIZES, barcodes=cells, size=500)
    assert found.obs_names.tolist() == cells
    counts = expected_counts(tables, 500)
    assert as_counter(found) == Counter({key: n for key, n in counts.items() if key[0] in cells})
    assert found.obs["sample"].tolist() == ["s5", "s2", "s5"]


@pytest.mark.parametrize(
    ("barcodes", "source", "message"),
    [
        (["C1"], None, "'C1' is of none of the samples 's2', 's5'.*'sample:barcode'"),
        (["s2:C1"], None, "names no cell of 's5'. Leave these files out"),
        (None, {}, "one or more names of samples"),
        (None, {"a:b": "x.tsv"}, "one or more names of samples, without ':'"),
        (None, {"a": 3}, "each with the path"),
        (None, {"a": "gone.tsv", "b": "gone.tsv"}, "No fragments file at 'gone.tsv'"),
    ],
)
def test_samples_that_cannot_be_read(samples, barcodes, source, message):
    source = {name: samples[0][name] for name in ("s2", "s5")} if source is None else source
    with pytest.raises(ChromatellError, match=message):
        ctl.pp.bin_genome(source, chrom_sizes=SIZES, barcodes=barcodes)


def test_what_workers_warn_of_and_raise_is_told_here(samples):
    paths, _ = samples
    odd = paths["s0"].with_name("odd.tsv")
    lines = [f"chr1\t{i}\t{i + 90}\tC1\t1" for i in range(300)]
    odd.write_text("\n".join([*lines, "chr1\tx\t3\tC1\t1"]) + "\n")
    options = {"processes": False, "n_workers": 1, "dashboard_address": None, "set_as_default": False}
    with distributed.Client(**options) as client:
        with pytest.warns(ChromatellWarning, match="1 of 301 lines are left out"):
            ctl.pp.bin_genome({"odd": odd, "s1": paths["s1"]}, chrom_sizes=SIZES, min_fragments=1, client=client)
        with pytest.raises(ChromatellError, match="No fragments file at .*gone.tsv"):
            ctl.pp.bin_genome({"gone": odd.with_name("gone.tsv")}, chrom_sizes=SIZES, client=client)


def test_bigwigs_and_peaks(client, tmp_path, rng):
    sizes = {"chr1": 30_000, "chr2": 12_345, "chr3": 7_000}
    names = ["plus", "minus", "H3K4me3"]
    values = {chrom: rng.poisson(2.0, (3, -(-n // 50))).astype(np.float32) for chrom, n in sizes.items()}
    tracks = ctl.data.BinnedTracks(values, names, chrom_sizes=sizes)
    files = ctl.io.bigwig.write(tracks, tmp_path / "bigwig")
    files["H3K27ac"] = tmp_path / "H3K27ac.bed"
    files["H3K27ac"].write_text("chr1\t100\t930\nchr2\t0\t75\nchr3\t5\t6999\n")
    here = ctl.pp.bin_tracks(files, bin_size=100)
    there = ctl.pp.bin_tracks(files, bin_size=100, client=client)
    pd.testing.assert_frame_equal(there.table, here.table)
    for chrom in sizes:
        np.testing.assert_array_equal(there.values(chrom), here.values(chrom))


def test_features_and_statistics_of_cells_on_disk(client, on_disk, monkeypatch):
    monkeypatch.setattr(_select_features, "_BLOCK", 16)
    options = {"n_genes": 20, "n_regions": 40, "copy": False}
    ctl.pp.select_features(on_disk, **options)
    here = {name: a.var.copy() for name, a in on_disk.mod.items()}
    ctl.pp.select_features(on_disk, **options, client=client)
    for name, table in here.items():
        pd.testing.assert_frame_equal(on_disk.mod[name].var, table)

    monkeypatch.setattr(expression, "BLOCK", 16)
    monkeypatch.setattr(expression, "block_rows", lambda n_genes: 16)
    monkeypatch.setattr(sparse_expression, "_BLOCK", 16)
    rna = on_disk.mod["rna"]
    assert isinstance(x := matrix(rna), DiskMatrix)
    kind, read = type(x.source), []
    own = kind.read_spans
    monkeypatch.setattr(kind, "read_spans", lambda *a: read.append(1) or own(*a))

    def fitted():
        found = expression.Expression.fit(x, rna.var_names)
        components = np.linspace(-1, 1, rna.n_vars * 3, dtype=np.float32).reshape(-1, 3)
        return found.arrays(), sparse_expression.projected(found, x, components)

    here, n_here = fitted(), len(read)
    assert n_here > 10
    with client.as_current():
        there = fitted()
    assert len(read) - n_here < n_here / 2  # workers did
    for name, value in here[0].items():
        np.testing.assert_array_equal(there[0][name], value, err_msg=name)
    for a, b in zip(there[1], here[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_baselines_of_cells_and_of_tracks(client, on_disk, monkeypatch):
    monkeypatch.setattr(parts, "ROWS", 32)
    ctl.tl.baseline(on_disk, "ridge", key_added="here")
    ctl.tl.baseline(on_disk, "ridge", key_added="there", client=client)
    found = [read_prediction(on_disk, key) for key in ("here", "there")]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
    said = on_disk.mod["atac_pred"].uns["ctl"]["provenance"]
    here, there = ({k: str(v) for k, v in said[key].items() if k != "date"} for key in ("here", "there"))
    assert there == here

    tracks = tiny.tracks()
    alone, shared = (ctl.tl.baseline(tracks, "ridge", client=c, copy=True) for c in (None, client))
    assert shared.uns["ctl"]["predictions"] == alone.uns["ctl"]["predictions"]
    for chrom in tracks.chroms:
        np.testing.assert_allclose(shared.values(chrom), alone.values(chrom), rtol=1e-6)
