"""The simulated truth against a plain computation, and the counts against the truth."""

from __future__ import annotations

import math
import sys

import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.datasets._simulate_sequence_multiome import true_log_rate
from chromatell.genome.motifs import log_odds, score_threshold
from chromatell.genome.regions import region_table
from chromatell.genome.sequence import encode, reverse_complement

MOTIFS = {  # 8 bases each, nearly fixed
    "AP/1": np.full((8, 4), 0.01) + 0.96 * np.eye(4)[encode("TGACTCAT")],
    "GATA": np.full((8, 4), 0.01) + 0.96 * np.eye(4)[encode("AGATAAGA")],
    "CCAAT": np.full((8, 4), 0.01) + 0.96 * np.eye(4)[encode("AACCAATC")],
}


@pytest.fixture(scope="module")
def mdata():
    return ctl.datasets.simulate_sequence_multiome(n_cells=1500, n_regions=1200, n_types=4, seed=0)


@pytest.fixture
def simulation(mdata):
    return mdata.uns["ctl"]["simulation"]


def plain_log_rate(tokens: np.ndarray, simulation: dict, type_name: str) -> float:
    """One sequence, one type, one place at a time."""
    width = int(simulation["reach"][0])
    first = len(tokens) // 2 - width // 2
    region = tokens[first : first + width].tolist()
    total = 0.0
    for j, (tf, activity) in enumerate(simulation["activity"].loc[type_name].items()):
        weights = log_odds(simulation["motifs"][tf])
        free = 1.0
        for start in range(width - len(weights) + 1):
            site = np.array(region[start : start + len(weights)])
            for read in (site, reverse_complement(site)):
                score = sum(weights[i, b] for i, b in enumerate(read))
                free *= 1 - 1 / (1 + math.exp(-2.0 * (score - simulation["midpoint"][j])))
        total += activity * (1 - free)
    gc = sum(b in (1, 2) for b in region) / width
    cpg = sum(a == 1 and b == 2 for a, b in zip(region, region[1:], strict=False)) / width
    mean, sd, effect = simulation["composition"]
    for value, m, s, e in zip((gc, cpg), mean, sd, effect, strict=True):
        total += e * min(max((value - m) / s, -3), 3)
    return total + float(simulation["intercept"][list(simulation["activity"].index).index(type_name)])


# ---- the truth


def test_truth_is_what_a_plain_computation_gives(mdata, simulation):
    atac = mdata.mod["atac"]
    rows = np.append(np.argsort(-atac.varm["motif_occupancy"].to_numpy().max(axis=1))[:2], [5, 700])
    depth = atac.obs["expected_fragments"].to_numpy()
    for r in rows:
        tokens = atac.varm["dna_code"][r]
        for t in ("type_1", "type_3"):
            expected = plain_log_rate(tokens, simulation, t)
            at = list(simulation["activity"].index).index(t)
            assert true_log_rate(mdata, tokens[None])[0, at] == pytest.approx(expected, abs=1e-4)
            cells = np.flatnonzero(mdata.obs["cell_type"] == t)[:5]
            p = 1 - np.exp(-depth[cells] * math.exp(expected))
            np.testing.assert_allclose(atac.layers["truth"][cells, r], p, rtol=2e-4)


def test_truth_of_all_cells_follows_from_the_tokens(mdata):
    atac = mdata.mod["atac"]
    rate = np.exp(true_log_rate(mdata, atac.varm["dna_code"]))[:, mdata.obs["cell_type"].cat.codes].T
    expected = -np.expm1(-atac.obs["expected_fragments"].to_numpy()[:, None] * rate)
    np.testing.assert_allclose(atac.layers["truth"], expected, atol=1e-6)
    by_type = np.exp(true_log_rate(mdata, atac.varm["dna_code"])).sum(axis=0)
    np.testing.assert_allclose(by_type, 1)  # so that depth is the expected number of fragments


def test_only_the_middle_matters_and_n_binds_nothing(mdata):
    tokens = mdata.mod["atac"].varm["dna_code"][:3].copy()
    own = true_log_rate(mdata, tokens)
    outside = tokens.copy()
    outside[:, :422], outside[:, 922:] = 0, 3
    np.testing.assert_array_equal(true_log_rate(mdata, outside), own)
    np.testing.assert_array_equal(true_log_rate(mdata, tokens[:, 422:922]), own)
    blank = np.full((1, 500), 4, dtype=np.int8)
    assert np.ptp(true_log_rate(mdata, blank) - mdata.uns["ctl"]["simulation"]["intercept"]) == pytest.approx(0)


def test_a_broken_motif_loses_what_the_activity_says(mdata, simulation):
    atac, hits = mdata.mod["atac"], simulation["hits"]
    midpoint = hits["motif"].map(dict(zip(simulation["motifs"], simulation["midpoint"], strict=True)))
    strong = hits[~hits["region"].duplicated(keep=False) & (hits["score"] > midpoint + 4)]  # the one site of its region
    assert len(strong) > 50
    error = []
    for hit in strong.itertuples():
        tokens = atac.varm["dna_code"][[atac.var_names.get_loc(hit.region)]]
        broken = tokens.copy()
        broken[0, hit.start : hit.end] = 4
        loss = (true_log_rate(mdata, tokens) - true_log_rate(mdata, broken))[0]
        activity = simulation["activity"][hit.motif].to_numpy()
        error.append(np.abs(loss - loss.min() - (activity - activity.min())).max())  # GC and CpG: the same in all types
    assert np.median(error) < 0.02
    assert np.mean(np.array(error) < 0.2) > 0.85  # in the others a weak second site stays


def test_hits_are_the_motifs_places(mdata, simulation):
    atac, hits = mdata.mod["atac"], simulation["hits"]
    weights = {name: log_odds(pwm) for name, pwm in simulation["motifs"].items()}
    midpoint = dict(zip(simulation["motifs"], simulation["midpoint"], strict=True))
    for hit in hits.iloc[::40].itertuples():
        site = atac.varm["dna_code"][atac.var_names.get_loc(hit.region), hit.start : hit.end]
        read = site if hit.strand == "+" else reverse_complement(site)
        score = weights[hit.motif][np.arange(len(read)), read].sum()
        assert hit.score == pytest.approx(score, abs=1e-3)
        assert score >= midpoint[hit.motif]
        assert hit.start >= 422
        assert hit.end <= 922
    for name, m in midpoint.items():
        assert m == pytest.approx(score_threshold(simulation["motifs"][name], 1e-5) - 1)
    bound = atac.varm["motif_occupancy"]
    for name in bound:
        found = atac.var_names.isin(hits.loc[hits["motif"] == name, "region"])
        assert (bound[name][found] >= 0.5).all()
        assert 0.08 <= (bound[name] >= 0.5).mean() <= 0.2


# ---- the counts


def test_open_as_often_as_the_truth_says(mdata):
    atac = mdata.mod["atac"]
    p = atac.layers["truth"].astype(float)
    opened = atac.X.toarray() > 0
    edges = np.quantile(p, np.linspace(0, 1, 11))
    decile = np.clip(np.searchsorted(edges, p, side="right") - 1, 0, 9)
    for i in range(10):
        q, y = p[decile == i], opened[decile == i]
        assert abs(y.sum() - q.sum()) < 4 * np.sqrt((q * (1 - q)).sum())
    for axis in (0, 1):
        z = (opened.sum(axis=axis) - p.sum(axis=axis)) / np.sqrt((p * (1 - p)).sum(axis=axis))
        assert abs(z.std() - 1) < 0.1
    rate = -np.log1p(-p)
    assert abs(((atac.X.toarray() - rate) ** 2).sum() / rate.sum() - 1) < 0.03  # Poisson


def test_sparsity_depth_and_library(mdata):
    rna, atac = mdata.mod["rna"], mdata.mod["atac"]
    assert 0.025 < atac.X.nnz / np.prod(atac.shape) < 0.045
    np.testing.assert_allclose(atac.X.sum(axis=1).mean(), 0.04 * 1200, rtol=0.05)
    depth = np.log(atac.obs["expected_fragments"])
    library = np.log(np.asarray(rna.X.sum(axis=1)).ravel())
    assert depth.std() == pytest.approx(0.5, abs=0.04)
    assert np.corrcoef(depth, library)[0, 1] == pytest.approx(0.5, abs=0.08)


def test_expression_tells_type_and_factors(mdata, simulation):
    rna = mdata.mod["rna"]
    share = rna.X.multiply(1 / rna.X.sum(axis=1)).toarray()
    by_type = pd.DataFrame(share, columns=rna.var_names).groupby(mdata.obs["cell_type"].to_numpy()).mean()
    activity = simulation["activity"]
    for tf in activity:
        assert np.corrcoef(by_type[tf], activity[tf])[0, 1] > 0.95
    from sklearn.linear_model import LogisticRegression

    x = np.log1p(1e3 * share)
    fitted = LogisticRegression(max_iter=300).fit(x[::2], mdata.obs["cell_type"][::2])
    assert fitted.score(x[1::2], mdata.obs["cell_type"][1::2]) > 0.95


def test_fields(mdata, simulation):
    rna, atac = mdata.mod["rna"], mdata.mod["atac"]
    assert (rna.shape, atac.shape) == ((1500, 200), (1500, 1200))
    assert list(rna.var_names[:6]) == list(simulation["activity"].columns)
    assert {"gene_id", "chrom", "tss", "strand"} <= set(rna.var)
    assert atac.varm["dna_code"].dtype == np.int8
    assert atac.varm["dna_code"].shape == (1200, 1344)
    assert set(np.unique(atac.varm["dna_code"])) == {0, 1, 2, 3}
    assert atac.layers["truth"].dtype == np.float32
    for x in (rna.X, atac.X):
        assert sp.issparse(x)
        assert (x.format, x.dtype) == ("csr", np.float32)
    assert mdata.obs["cell_type"].cat.categories.tolist() == [f"type_{i}" for i in range(1, 5)]
    assert mdata.obs["donor"].nunique() == 4
    table = region_table(atac)
    assert (table["end"] - table["start"] == 500).all()
    assert atac.var["chrom"].nunique() == 6
    for _, chrom in table.groupby("chrom"):
        middle = (chrom["start"].to_numpy() + chrom["end"].to_numpy()) // 2
        assert (np.diff(middle) >= 1344).all()  # windows do not overlap
    assert simulation["activity"].max().to_numpy() == pytest.approx([2.5] * 6)


def test_round_trip(mdata, simulation, tmp_path):
    small = mdata[:20].copy()
    for path, write, read in (
        (tmp_path / "x.h5mu", small.write, mudata.read_h5mu),
        (tmp_path / "x.zarr", small.write_zarr, mudata.read_zarr),
    ):
        write(path)
        back = read(path)
        tokens = back.mod["atac"].varm["dna_code"][:5]
        np.testing.assert_allclose(true_log_rate(back, tokens), true_log_rate(mdata, tokens), rtol=1e-12)
        pd.testing.assert_frame_equal(back.uns["ctl"]["simulation"]["hits"], simulation["hits"], check_dtype=False)
        pd.testing.assert_frame_equal(
            back.mod["atac"].varm["motif_occupancy"], mdata.mod["atac"].varm["motif_occupancy"]
        )


def test_seed():
    arguments = {"motifs": MOTIFS, "n_cells": 60, "n_regions": 50, "n_genes": 20}
    one, same, other = (ctl.datasets.simulate_sequence_multiome(**arguments, seed=s) for s in (1, 1, 2))
    for name in ("rna", "atac"):
        assert (one.mod[name].X != same.mod[name].X).nnz == 0
        assert one.mod[name].var.equals(same.mod[name].var)
    np.testing.assert_array_equal(one.mod["atac"].varm["dna_code"], same.mod["atac"].varm["dna_code"])
    assert (one.mod["atac"].varm["dna_code"] != other.mod["atac"].varm["dna_code"]).any()
    without = ctl.datasets.simulate_sequence_multiome(**arguments, seed=1, truth=False)
    assert (one.mod["atac"].X != without.mod["atac"].X).nnz == 0
    assert not without.mod["atac"].layers


def test_motifs_widths_and_sizes():
    mdata = ctl.datasets.simulate_sequence_multiome(
        None, MOTIFS, 40, n_regions=30, n_genes=8, n_types=2, n_tfs=2, width=301, region_width=121, depth=9, seed=0
    )
    atac, simulation = mdata.mod["atac"], mdata.uns["ctl"]["simulation"]
    assert list(simulation["activity"].columns) == ["AP-1", "GATA"]
    assert atac.varm["dna_code"].shape == (30, 301)
    assert (atac.var["end"] - atac.var["start"] == 121).all()
    tokens = atac.varm["dna_code"][3]
    assert true_log_rate(mdata, tokens[None])[0, 1] == pytest.approx(
        plain_log_rate(tokens, simulation, "type_2"), abs=1e-4
    )
    one = ctl.datasets.simulate_sequence_multiome(
        None, {"x": MOTIFS["GATA"]}, 1, n_regions=1, n_genes=1, n_types=1, seed=0
    )
    assert one.shape == (1, 2)


def test_sites_beyond_the_region_act_within_reach():
    options = {"n_genes": 8, "n_types": 2, "n_tfs": 2, "width": 400, "region_width": 100, "depth": 9, "seed": 0}
    mdata = ctl.datasets.simulate_sequence_multiome(None, MOTIFS, 40, n_regions=60, reach=300, **options)
    atac, simulation = mdata.mod["atac"], mdata.uns["ctl"]["simulation"]
    assert (atac.var["end"] - atac.var["start"] == 100).all()
    middle = (simulation["hits"]["start"] + simulation["hits"]["end"]) / 2
    assert simulation["hits"]["start"].min() >= 50
    assert simulation["hits"]["end"].max() <= 350
    assert ((middle < 150) | (middle > 250)).any()  # outside the region
    for r in (0, atac.var_names.get_loc(simulation["hits"]["region"].iloc[int(np.argmin(middle))])):
        tokens = atac.varm["dna_code"][[r]]
        for at, name in enumerate(("type_1", "type_2")):
            expected = plain_log_rate(tokens[0], simulation, name)
            assert true_log_rate(mdata, tokens)[0, at] == pytest.approx(expected, abs=1e-4)
            assert true_log_rate(mdata, tokens[:, 50:350])[0, at] == pytest.approx(expected, abs=1e-4)
    with pytest.raises(ChromatellError, match=r"Sequences of shape \(n, at least 300\) are needed"):
        true_log_rate(mdata, atac.varm["dna_code"][:, 100:300])
    with pytest.raises(ChromatellError, match=r"reach=401 must lie between the longest motif \(8 bases\) and"):
        ctl.datasets.simulate_sequence_multiome(None, MOTIFS, 40, n_regions=60, reach=401, **options)
    plain = ctl.datasets.simulate_sequence_multiome(None, MOTIFS, 40, n_regions=60, **options)
    same = ctl.datasets.simulate_sequence_multiome(None, MOTIFS, 40, n_regions=60, reach=100, **options)
    np.testing.assert_array_equal(plain.mod["atac"].layers["truth"], same.mod["atac"].layers["truth"])


# ---- a genome


def test_made_up_genome_is_written_as_it_was_read(tmp_path):
    path = tmp_path / "genome.fa"
    mdata = ctl.datasets.simulate_sequence_multiome(None, MOTIFS, 20, n_regions=40, n_genes=10, fasta_out=path, seed=0)
    genome = ctl.genome.Genome(path, cache_dir=tmp_path)
    tokens, n_padded = genome.windows(mdata.mod["atac"], 1344)
    np.testing.assert_array_equal(tokens, mdata.mod["atac"].varm["dna_code"])
    assert (n_padded == 0).all()
    assert (mdata.mod["rna"].var["tss"] < mdata.mod["rna"].var["chrom"].map(genome.chromosomes)).all()
    bases = np.concatenate([genome.fetch(c, 0, n) for c, n in genome.chromosomes.items()])
    share = np.bincount(bases, minlength=4) / bases.size
    cpg = ((bases[:-1] == 1) & (bases[1:] == 2)).mean()
    assert 0.38 < share[1] + share[2] < 0.52
    assert cpg < 0.6 * share[1] * share[2]  # as rare as in vertebrates
    # and the file makes the same kind of data
    again = ctl.datasets.simulate_sequence_multiome(path, MOTIFS, 20, n_regions=40, n_genes=10, seed=1)
    tokens, _ = genome.windows(again.mod["atac"], 1344)
    np.testing.assert_array_equal(tokens, again.mod["atac"].varm["dna_code"])


def test_real_windows(data_dir):
    pytest.importorskip("pyfaidx")
    fasta = data_dir / "genome" / "hg19_chr20_chr22.fa.gz"
    mdata = ctl.datasets.simulate_sequence_multiome(fasta, n_cells=50, n_regions=600, n_genes=40, seed=0)
    atac = mdata.mod["atac"]
    tokens, n_padded = ctl.genome.Genome(fasta).windows(atac, 1344)
    np.testing.assert_array_equal(tokens, atac.varm["dna_code"])
    assert (n_padded == 0).all()
    assert set(atac.var["chrom"]) == {"chr20", "chr22"}
    share = (atac.varm["motif_occupancy"] >= 0.5).mean()
    assert share.between(0.08, 0.2).all()


def test_windows_with_n_are_left_out(tmp_path):
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 4, 40_000)
    tokens[10_000:20_000] = 4
    (tmp_path / "n.fa").write_text(">chrA\n" + "".join("ACGTN"[t] for t in tokens) + "\n")
    mdata = ctl.datasets.simulate_sequence_multiome(
        tmp_path / "n.fa", MOTIFS, 10, n_regions=60, n_genes=5, width=300, region_width=200, seed=0
    )
    middle = mdata.mod["atac"].var["start"] + 100
    assert not middle.between(10_000 - 150, 20_000 + 150, inclusive="neither").any()
    assert not (mdata.mod["atac"].varm["dna_code"] == 4).any()
    with pytest.raises(ChromatellError, match="windows of 300 bases that hold no N .* n_regions=1000 asks for more"):
        ctl.datasets.simulate_sequence_multiome(
            tmp_path / "n.fa", MOTIFS, 10, n_regions=1000, n_genes=5, width=300, region_width=200
        )


# ---- bad input


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"n_cells": 0}, "n_cells=0 must be a positive whole number"),
        ({"width": 10.5}, "width=10.5 must be"),
        ({"depth": -1}, "depth=-1.0 must be positive"),
        ({"n_cells": 100_000, "n_regions": 100_000}, "above .* truth=False"),
        ({"n_tfs": 4}, "n_tfs=4 must be a whole number from 1 to 3"),
        ({"n_tfs": 0}, "n_tfs=0 must be"),
        ({"region_width": 7}, r"region_width=7 must lie between the longest motif \(8 bases\) and width=1344"),
        ({"region_width": 2000}, "region_width=2000 must lie between"),
        ({"n_genes": 2}, "n_genes=2 is below the 3 factors"),
        ({"fasta": "nowhere.fa"}, "nowhere.fa' is not there"),
        ({"fasta": "x.fa", "fasta_out": "y.fa"}, "with fasta= there is none. Leave one of them out"),
        ({"fasta_out": "nowhere/y.fa"}, "there is no folder 'nowhere'. Make it first"),
        ({"motifs": "no_such_factor"}, "has no motif 'no_such_factor'"),
        ({"motifs": {"flat": np.full((5, 4), 0.25)}}, "matches nearly any sequence. Leave it out"),
    ],
)
def test_bad_input(arguments, match):
    with pytest.raises(ChromatellError, match=match):
        ctl.datasets.simulate_sequence_multiome(**{"motifs": MOTIFS, "n_cells": 10, "n_regions": 10, **arguments})


def test_without_pyjaspar_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyjaspar", None)
    with pytest.raises(ChromatellError, match=r"pip install 'chromatell\[sequence\]'"):
        ctl.datasets.simulate_sequence_multiome(n_cells=10, n_regions=10)


def test_the_truth_is_of_simulated_data_alone(mdata):
    with pytest.raises(ChromatellError, match="from ctl.datasets.simulate_sequence_multiome"):
        true_log_rate(ctl.datasets.simulate_multiome(10, 5, 5, seed=0), np.zeros((1, 500), dtype=np.int8))
    with pytest.raises(ChromatellError, match=r"shape \(n, at least 500\)"):
        true_log_rate(mdata, np.zeros((1, 499), dtype=np.int8))
