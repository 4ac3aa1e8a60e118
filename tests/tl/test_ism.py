"""``tl.ism`` against a linear model, where each change is known by hand, and against reading every changed sequence."""

from __future__ import annotations

import mudata as md
import numpy as np
import pandas as pd
import pytest
import torch

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.nn.sequence_tower import TowerConfig, one_hot, sequence_tower
from chromatell.tl import _ism as module
from chromatell.tl._ism import ism

NAMES = ["chr2:60-80", "chr1:100-131"]


def means(mdata, model) -> dict[str, np.ndarray]:
    v = mdata.mod["rna"].obsm["v"].astype(np.float32)
    labels = mdata.obs["cell_type"].astype(object).to_numpy()
    return {g: v[labels == g].mean(axis=0) for g in "abc"} | {"all": v.mean(axis=0)}


def by_hand(model, tokens: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(4, LENGTH): the weight of each base less that of the base that is there."""
    weight = np.einsum("kbl,k->bl", model.both, v)
    own = np.pad(weight, ((0, 1), (0, 0)))[tokens, np.arange(len(tokens))]
    return weight - own


def test_each_change_of_a_linear_model_is_known(sequenced, linear, genome):
    assert ism(sequenced, NAMES, model=linear, window=None) is None
    found = sequenced.uns["ctl"]["ism"]
    assert found["regions"].tolist() == NAMES
    assert found["chrom"].tolist() == ["chr2", "chr1"]
    assert found["start"].tolist() == [60, 105]  # middles 70 and 115, less 10
    assert found["start"].dtype == np.int64
    assert found["groups"].tolist() == ["a", "b", "c"]
    assert found["effect"].shape == (2, 3, 4, 20)
    assert (found["effect"].dtype, found["tokens"].dtype) == (np.float32, np.int8)
    np.testing.assert_array_equal(found["tokens"], [genome["chr2"][60:80], genome["chr1"][105:125]])
    assert found["method"] == "ism"
    v = means(sequenced, linear)
    for r in range(2):
        for g, group in enumerate("abc"):
            expected = by_hand(linear, found["tokens"][r], v[group])
            np.testing.assert_allclose(found["effect"][r, g], expected, atol=2e-5)


def test_the_window_is_the_centre_and_one_group_is_the_mean_cell(sequenced, linear):
    whole = ism(sequenced, NAMES, model=linear, groupby=None, window=None, copy=True).uns["ctl"]["ism"]
    assert "ctl" not in sequenced.uns
    part = ism(sequenced, NAMES, model=linear, groupby=None, window=7, copy=True).uns["ctl"]["ism"]
    assert part["groups"].tolist() == ["all"]
    more = ism(sequenced, NAMES, model=linear, groupby=None, window=200, copy=True).uns["ctl"]["ism"]
    np.testing.assert_array_equal(more["tokens"], whole["tokens"])  # no more than the model reads
    np.testing.assert_allclose(part["effect"], whole["effect"][..., 7:14], atol=1e-6)  # 10 - 7 // 2
    np.testing.assert_array_equal(part["tokens"], whole["tokens"][:, 7:14])
    np.testing.assert_array_equal(part["start"], whole["start"] + 7)
    expected = by_hand(linear, whole["tokens"][0], means(sequenced, linear)["all"])
    np.testing.assert_allclose(whole["effect"][0, 0], expected, atol=2e-5)


def test_an_unknown_base_and_regions_beyond_the_data(sequenced, linear, fasta, genome):
    sequenced.mod["atac"].varm["dna_code"][0, 12] = 4  # the centre of chr1:100-131
    ism(sequenced, ["chr1:100-131", "chr2:300-321", "chr1:0-6"], model=linear, groupby=None, window=None, fasta=fasta)
    found = sequenced.uns["ctl"]["ism"]
    assert found["tokens"][0, 10] == 4
    np.testing.assert_array_equal(found["tokens"][1], genome["chr2"][300:320])
    assert found["tokens"][2].tolist() == [4] * 7 + genome["chr1"][:13].tolist()
    assert found["start"].tolist() == [105, 300, -7]
    v = means(sequenced, linear)["all"]
    for r in range(3):
        np.testing.assert_allclose(found["effect"][r, 0], by_hand(linear, found["tokens"][r], v), atol=2e-5)


def test_regions_as_text_table_and_file(sequenced, linear, fasta, tmp_path):
    bed = tmp_path / "some.bed"
    bed.write_text("chr2\t60\t80\tname\nchr2\t300\t321\n")
    table = pd.DataFrame({"chrom": ["chr2", "chr2"], "start": [60, 300], "end": [80, 321], "other": 1})
    expected = None
    for regions in (["chr2:60-80", "chr2:300-321"], table, bed, str(bed), pd.Index(["chr2:60-80", "chr2:300-321"])):
        ctl.tl.ism(sequenced, regions, model=linear, fasta=fasta, groupby=None, window=4)
        found = sequenced.uns["ctl"]["ism"]["effect"]
        expected = found if expected is None else expected
        np.testing.assert_array_equal(found, expected)
    one = ctl.tl.ism(sequenced, "chr2:60-80", model=linear, groupby=None, window=4, copy=True).uns["ctl"]["ism"]
    np.testing.assert_allclose(one["effect"][0], expected[0], atol=1e-6)


def test_without_stored_tokens_the_fasta_is_read(sequenced, linear, fasta):
    with_tokens = ism(sequenced, NAMES, model=linear, window=6, copy=True).uns["ctl"]["ism"]
    del sequenced.mod["atac"].varm["dna_code"]
    ism(sequenced, NAMES, model=linear, window=6, fasta=fasta)
    np.testing.assert_array_equal(sequenced.uns["ctl"]["ism"]["tokens"], with_tokens["tokens"])
    np.testing.assert_allclose(sequenced.uns["ctl"]["ism"]["effect"], with_tokens["effect"], atol=1e-6)


def test_chosen_cells(sequenced, linear):
    v = sequenced.mod["rna"].obsm["v"].astype(np.float32)
    mask = np.zeros(12, dtype=bool)
    mask[[1, 3, 4, 9]] = True  # b, b, a and one without a label
    for cells in (mask, ["cell1", "cell3", "cell4", "cell9"]):
        ism(sequenced, NAMES[:1], model=linear, cells=cells, window=None)
        found = sequenced.uns["ctl"]["ism"]
        assert found["groups"].tolist() == ["a", "b"]
        for g, rows in enumerate(([4], [1, 3])):
            expected = by_hand(linear, found["tokens"][0], v[rows].mean(axis=0))
            np.testing.assert_allclose(found["effect"][0, g], expected, atol=2e-5)
    ism(sequenced, NAMES[:1], model=linear, cells=mask, groupby=None, window=None)
    found = sequenced.uns["ctl"]["ism"]
    np.testing.assert_allclose(
        found["effect"][0, 0], by_hand(linear, found["tokens"][0], v[mask].mean(axis=0)), atol=2e-5
    )


class Tower(torch.nn.Module):
    def __init__(self, kind: str):
        super().__init__()
        torch.manual_seed(0)
        self.tower = sequence_tower(
            TowerConfig(
                kind=kind,
                sequence_length=64,
                stem_filters=8,
                stem_kernel=5,
                stem_pool=2,
                filters=(8, 8),
                kernel=3,
                last_filters=4,
                n_bottleneck=5,
            )
        )

    def forward(self, x):
        return (self.tower(x) + self.tower(x.flip((1, 2)))) / 2


@pytest.fixture(scope="module", params=["basset", "motifs"])
def tower(request) -> Tower:
    tower = Tower(request.param).eval()
    if request.param == "motifs":  # it starts near zero
        tower.tower.last.weight.data.mul_(100)
        tower.tower.straight.weight.data.normal_()
    for layer in tower.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            layer.running_var.fill_(0.05)  # of values as small as these: else nothing changes anything
    return tower


def one_by_one(tower, tokens: np.ndarray, part: slice) -> np.ndarray:
    out = np.zeros((len(tokens), 4, part.stop - part.start, 5), dtype=np.float32)
    with torch.no_grad():
        for r, row in enumerate(torch.from_numpy(tokens)):
            own = tower(one_hot(row[None]))
            for i in range(part.start, part.stop):
                changed = row.repeat(4, 1)
                changed[:, i] = torch.arange(4)
                out[r, :, i - part.start] = (tower(one_hot(changed)) - own).numpy()
    return out


@pytest.mark.parametrize("fast", [False, True])
def test_a_tower_changed_base_by_base(tower, rng, monkeypatch, fast):
    from tangermeme import saturation_mutagenesis as tangermeme

    used, choose = [], tangermeme._fast_path
    monkeypatch.setattr(tangermeme, "_fast_path", lambda *a: used.append(choose(*a)) or used[-1])
    if fast:  # recompute only what a change reaches, whatever the size of the job and the speed
        monkeypatch.setattr(tangermeme, "_FAST_MIN_SECONDS", 0.0)
        monkeypatch.setattr(tangermeme, "_FAST_MAX_RELATIVE_TIME", np.inf)
    tokens = rng.integers(0, 4, (3, 64)).astype(np.int8)
    tokens[1, 30] = 4
    part = slice(20, 40)
    expected = one_by_one(tower, tokens, part)
    assert np.abs(expected).max() > 0.1
    for batch_size in (1, 7, 64) if not fast else (64,):
        found = module.saturation(tower, tokens, part, batch_size)
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert [answer[0] is not None for answer in used] == [fast] * len(used)


def test_chunks_do_not_show(sequenced, linear, monkeypatch):
    names = list(sequenced.mod["atac"].var_names)
    ism(sequenced, names, model=linear, window=6)
    expected = sequenced.uns["ctl"]["ism"]["effect"]
    monkeypatch.setattr(module, "_CHANGES", 50)
    ism(sequenced, names, model=linear, window=6, batch_size=3)
    np.testing.assert_allclose(sequenced.uns["ctl"]["ism"]["effect"], expected, atol=1e-5)


@pytest.mark.parametrize("suffix", [".h5mu", ".zarr"])
def test_survives_in_files(sequenced, linear, tmp_path, suffix):
    sequenced.uns["ctl"] = {"other": np.arange(3)}
    ism(sequenced, NAMES, model=linear, key_added="changes")
    path = tmp_path / f"x{suffix}"
    sequenced.write(path) if suffix == ".h5mu" else sequenced.write_zarr(path)
    again = md.read_h5mu(path) if suffix == ".h5mu" else md.read_zarr(path)
    found, expected = again.uns["ctl"]["changes"], sequenced.uns["ctl"]["changes"]
    assert set(again.uns["ctl"]) == {"changes", "other"}
    assert set(found) == set(expected)
    for name in ("effect", "tokens", "start", "regions", "chrom", "groups"):
        np.testing.assert_array_equal(found[name], expected[name])
    assert found["effect"].dtype == np.float32
    assert found["method"] == "ism"


def dense_key(mdata):
    mdata.uns["ctl"] = {"models": {"dense": {}, "other": {}}}


def no_tokens(mdata):
    del mdata.mod["atac"].varm["dna_code"]


def unknown(mdata):
    mdata.mod["atac"].varm["dna_code"][3] = 4


def narrow(mdata):
    mdata.mod["atac"].varm["dna_code"] = mdata.mod["atac"].varm["dna_code"][:, :19]


@pytest.mark.parametrize(
    ("change", "call", "message"),
    [
        (None, {"model": None}, "no model 'xchrom'.*there: none.*ctl.tl.xchrom"),
        (dense_key, {"model": None}, "there: 'dense', 'other'.*name another with key="),
        (None, {"model": object()}, "family 'object', which reads no DNA.*ctl.tl.xchrom"),
        (None, {"groupby": "kind"}, "Did not find mdata.obs\\['kind'\\].*'cell_type'.*groupby=None"),
        (None, {"regions": ["chr9:1-5"]}, "1 regions .*'chr9:1-5'.*names there: 'chr1:100-131'.*fasta='genome.fa'"),
        (None, {"regions": []}, "names no region"),
        (None, {"regions": NAMES[:1] * 2}, "'chr2:60-80' more than once"),
        (None, {"regions": pd.DataFrame({"chrom": ["a"]})}, "lacks the columns \\['start', 'end'\\]"),
        (no_tokens, {}, "varm\\['dna_code'\\].*ctl.pp.add_sequence.*fasta='genome.fa'"),
        (unknown, {}, "1 of 2 regions have no known base.*'chr2:60-80'"),
        (narrow, {}, "19 bases long; the model reads 20.*add_sequence"),
        (None, {"window": 2.5}, "window=2.5 must be a whole number"),
        (None, {"batch_size": 0}, "batch_size=0 is out of range: a whole number from 1"),
        (None, {"window": 0}, "window=0 must be.*None for the 20"),
        (None, {"cells": ["cell1", "nobody"]}, "1 of 2 cells= .*'nobody'"),
        (None, {"cells": np.zeros(12, dtype=bool)}, "chooses no cell"),
        (None, {"cells": np.ones(5, dtype=bool)}, "a mask of 5; .* 12 cells"),
        (None, {"cells": ["cell9"]}, "None of the 1 cells has a label in obs\\['cell_type'\\].*groupby=None"),
        (None, {"key_added": "models"}, "key_added='models' is what another tool"),
        (None, {"key_added": "a/b"}, "cannot be stored"),
    ],
)
def test_bad_input_changes_nothing(sequenced, linear, change, call, message):
    if change:
        change(sequenced)
    before = dict(sequenced.uns.get("ctl", {}))
    arguments = {"regions": NAMES, "model": linear, **call}
    with pytest.raises(ChromatellError, match=message):
        ism(sequenced, arguments.pop("regions"), **arguments)
    assert dict(sequenced.uns.get("ctl", {})) == before


def test_other_bad_input(sequenced, linear, fasta, monkeypatch):
    with pytest.raises(ChromatellError, match="Expected a MuData.*AnnData"):
        ism(sequenced.mod["rna"], NAMES, model=linear)
    with pytest.raises(ChromatellError, match="1 of 1 regions have no coordinates \\(such as 'peak7'\\)"):
        ism(sequenced, ["peak7"], model=linear, fasta=fasta)
    with pytest.raises(ChromatellError, match="chromosomes that genome.fa does not have \\('chr9'\\)"):
        ism(sequenced, ["chr9:10-20"], model=linear, fasta=fasta)
    with pytest.raises(ChromatellError, match="is not there. Needed: a BED"):
        ism(sequenced, "absent.bed", model=linear, fasta=fasta)
    monkeypatch.setattr(ctl.settings, "dense_limit", 100)
    with pytest.raises(ChromatellError, match="2 x 3 x 4 x 20 float32.*fewer regions or groups"):
        ism(sequenced, NAMES, model=linear, window=20)


def test_without_tangermeme_the_extra_is_named(sequenced, linear, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "tangermeme.saturation_mutagenesis", None)
    with pytest.raises(ChromatellError, match="pip install 'chromatell\\[sequence\\]'"):
        ism(sequenced, NAMES, model=linear, window=20)
