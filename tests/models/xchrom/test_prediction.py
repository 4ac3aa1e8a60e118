"""What XChrom predicts: both sides as vectors, regions and cells however they are asked for, at which depth."""

from __future__ import annotations

import copy

import anndata as ad
import mudata as md
import numpy as np
import pandas as pd
import pytest
import torch
from tests.helpers import depth_weights, rows_of

import chromatell as ctl
from chromatell import ChromatellError, ChromatellWarning
from chromatell.data.depth import choose_strength
from chromatell.models.xchrom import _fitted as fitted_file
from chromatell.models.xchrom import _stages as stages_file
from chromatell.models.xchrom._fitted import SHRINK
from chromatell.models.xchrom._regions import read_bed

XChrom = ctl.models.XChrom
WIDTH, LENGTH = 150, 140  # of the windows, and of what the tower reads


def test_predicted_depth_is_a_regression_on_the_genes_behind_the_embedding(trained, mdata):
    """And on total and number of genes; scikit-learn's, drawn towards the mean.

    Components are penalised as long as they are, before standardising.
    """
    z, sizes = trained.fitted.embedding.transform(mdata["rna"])
    train = rows_of(mdata.obs, "train")
    depth = np.asarray(mdata["atac"].X.sum(1)).ravel()
    log = np.log1p(depth)
    target = (log - log[train].mean()) / log[train].std()
    for size, own in zip(sizes.T, (mdata["rna"].X.sum(1), (mdata["rna"].X > 0).sum(1)), strict=True):
        log_own = np.log1p(np.asarray(own).ravel())
        np.testing.assert_allclose(size, (log_own - log_own[train].mean()) / log_own[train].std(), atol=1e-4)
    design = np.column_stack([z * trained.fitted.embedding.sd, 10 * sizes]).astype(float)
    strength = choose_strength(design[train], target[train], 2)
    expected = (design - design[train].mean(axis=0)) @ depth_weights(design[train], depth[train], strength)
    v = trained.cell_vectors(mdata)
    want = SHRINK * np.clip(expected, target[train].min(), target[train].max())
    np.testing.assert_allclose(v[:, -1], want, atol=1e-4)
    assert np.corrcoef(v[:, -1], log)[0, 1] > 0.5


def test_depth_is_a_named_choice(trained, mdata):
    predicted, fixed = trained.cell_vectors(mdata), trained.cell_vectors(mdata, depth="fixed")
    assert predicted.shape == (240, 8)
    assert predicted.dtype == np.float32
    np.testing.assert_array_equal(predicted[:, :-1], fixed[:, :-1])
    assert (fixed[:, -2] == 1).all()
    assert (fixed[:, -1] == 0).all()
    with pytest.warns(ChromatellWarning, match="uses the target assay"):
        observed = trained.cell_vectors(mdata, depth="observed")
    log = np.log1p(np.asarray(mdata["atac"].X.sum(1)).ravel())
    train = rows_of(mdata.obs, "train")
    np.testing.assert_allclose(observed[:, -1], (log - log[train].mean()) / log[train].std(), atol=1e-5)
    with pytest.warns(ChromatellWarning, match="uses the target assay"):
        p = trained.predict(mdata, depth="observed")
    deep = log > np.quantile(log, 0.9)
    assert p[deep].mean() > 1.3 * trained.predict(mdata, depth="fixed")[deep].mean()
    with pytest.raises(ChromatellError, match=r"depth='observed' reads each cell's own ATAC"):
        trained.predict(mdata["rna"], depth="observed")
    with pytest.raises(ChromatellError, match="depth='true' is not known"):
        trained.predict(mdata, depth="true")


def test_denoised_is_at_fixed_depth(trained, mdata):
    p = trained.denoise(mdata, regions=list(trained.regions[:5]))
    np.testing.assert_array_equal(p, trained.predict(mdata, depth="fixed", regions=list(trained.regions[:5])))
    assert np.abs(p - trained.predict(mdata)[:, :5]).max() > 0.02


def test_prediction_is_the_product_of_the_two_sides(trained, mdata):
    w, v = trained.stored_vectors(), trained.cell_vectors(mdata)
    assert w.shape == (360, 8)
    want = 1 / (1 + np.exp(-(v.astype(np.float64) @ w.T)))
    np.testing.assert_allclose(trained.predict(mdata), want, atol=1e-6)
    np.testing.assert_array_equal(trained.predict(), trained.predict(mdata))


@pytest.mark.parametrize("size", [1, 8, 64])
def test_vectors_of_regions_do_not_depend_on_the_batch(trained, mdata, monkeypatch, size):
    tokens = mdata["atac"].varm["dna_code"]
    monkeypatch.setattr(stages_file, "_SEQUENCES", size)
    got = trained.region_vectors(tokens)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, trained.stored_vectors(), atol=2e-5)
    np.testing.assert_allclose(trained.region_vectors(tokens[[300, 3]]), got[[300, 3]], atol=2e-5)


def test_predictions_do_not_depend_on_blocks(trained, mdata, monkeypatch):
    whole = trained.predict(mdata)
    np.testing.assert_allclose(trained.predict(mdata["rna"][7:8].copy()), whole[7:8], atol=1e-6)
    some = [trained.regions[j] for j in (100, 3, 50)]
    np.testing.assert_allclose(trained.predict(mdata, regions=some), whole[:, [100, 3, 50]], atol=1e-6)
    monkeypatch.setattr(stages_file, "_ROWS", 17)
    monkeypatch.setattr(stages_file, "_COLUMNS", 31)
    monkeypatch.setattr(fitted_file, "TILE", 7)
    np.testing.assert_allclose(trained.predict(mdata), whole, atol=1e-6)
    np.testing.assert_allclose(trained.predict(mdata, regions=some), whole[:, [100, 3, 50]], atol=1e-6)


def test_the_centre_of_longer_windows_is_read(trained, mdata):
    tokens = mdata["atac"].varm["dna_code"][:20]
    first = WIDTH // 2 - LENGTH // 2
    exact = tokens[:, first : first + LENGTH]
    want = trained.region_vectors(tokens)
    np.testing.assert_allclose(trained.region_vectors(exact), want, atol=1e-6)
    np.testing.assert_allclose(trained.region_vectors(exact.astype(np.int64)), want, atol=1e-6)
    turned = np.where(exact < 4, 3 - exact, exact)[:, ::-1]
    np.testing.assert_allclose(trained.region_vectors(turned), want, atol=1e-5)


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (np.zeros((2, LENGTH - 1), np.int8), r"139 bases long; the model reads 140.*width=140"),
        (np.zeros((2, LENGTH), np.float32), "float32 .*int8 .*is needed"),
        (np.zeros((2, 4, LENGTH), np.int8), r"\(2, 4, 140\); int8"),
        (np.zeros((0, LENGTH), np.int8), r"int8 \(0, 140\)"),
        (np.full((2, LENGTH), 5, np.int8), "from 5 to 5; A C G T N are 0 1 2 3 4"),
        (np.full((2, LENGTH), -1, np.int8), "from -1 to -1"),
    ],
    ids=["short", "float", "one-hot", "none", "five", "negative"],
)
def test_sequences_that_cannot_be_read(trained, tokens, message):
    with pytest.raises(ChromatellError, match=message):
        trained.region_vectors(tokens)


@pytest.mark.parametrize("kind", ["basset", "motifs"])
def test_sequence_module_is_the_sequence_side(fit, trained, mdata, kind):
    model = (
        trained if kind == "basset" else fit(mdata, epochs=1, kind="motifs", stem_filters=6, covariate_length=LENGTH)
    )
    first = WIDTH // 2 - LENGTH // 2
    tokens = mdata["atac"].varm["dna_code"][:6, first : first + LENGTH].copy()
    tokens[2, 50:60] = 4
    x = torch.from_numpy(ctl.genome.one_hot(tokens))
    assert x[2, :, 50:60].sum() == 0
    module = model.sequence_module()
    assert isinstance(module, torch.nn.Module)
    assert not module.training
    with torch.no_grad():
        got = module(x)
    np.testing.assert_allclose(got, model.region_vectors(tokens), atol=2e-6)
    with torch.no_grad():
        torch.testing.assert_close(module(x.flip((1, 2))), got, atol=1e-5, rtol=1e-5)
    x.requires_grad_(True)
    module(x)[:, 0].sum().backward()
    assert float(x.grad.abs().sum()) > 0
    # the gradient is that of the function: a step in one direction, in double precision
    double, at = copy.deepcopy(module).double(), torch.from_numpy(ctl.genome.one_hot(tokens)).double()
    torch.manual_seed(0)
    direction = torch.randn_like(at)
    with torch.no_grad():
        change = (double(at + 1e-6 * direction) - double(at - 1e-6 * direction))[:, 0].sum() / 2e-6
    at.requires_grad_(True)
    double(at)[:, 0].sum().backward()
    assert float((at.grad * direction).sum()) == pytest.approx(float(change), rel=1e-3, abs=1e-6)
    assert model.region_vectors(tokens).shape == (6, 8)  # and the model still predicts


def test_the_same_region_however_it_is_asked_for(trained, mdata, fasta, tmp_path):
    var = mdata["atac"].var
    places = np.array([7, 200, 31, 359])
    names = list(mdata["atac"].var_names[places])
    want = trained.predict(mdata)[:, places]
    table = var.iloc[places][["chrom", "start", "end"]]
    table.to_csv(tmp_path / "some.bed", sep="\t", header=False, index=False)
    other_style = [f"{c.removeprefix('chr')}-{s}-{e}" for c, s, e in table.to_numpy()]
    first = WIDTH // 2 - LENGTH // 2
    tokens = mdata["atac"].varm["dna_code"][places]
    asked = {
        "names": names,
        "index": pd.Index(names),
        "array": np.array(names),
        "table": table,
        "table without names": table.reset_index(drop=True),
        "bed": tmp_path / "some.bed",
        "bed as text": str(tmp_path / "some.bed"),
        "another style": other_style,
        "tokens": tokens,
        "tokens of the length": tokens[:, first : first + LENGTH],
    }
    for what, regions in asked.items():
        np.testing.assert_allclose(trained.predict(mdata, regions=regions), want, atol=2e-6, err_msg=what)
    again = ctl.models.load(trained.to_record())  # which knows none of them
    again.fitted.regions = pd.Index([f"x{i}" for i in range(360)])
    for what in ("names", "table", "bed", "another style"):
        got = again.predict(mdata, regions=asked[what], fasta=fasta)
        np.testing.assert_allclose(got, want, atol=2e-6, err_msg=what)
    np.testing.assert_allclose(again.predict(mdata, regions=names, fasta=ctl.genome.Genome(fasta)), want, atol=2e-6)
    assert list(trained.region_names(tmp_path / "some.bed")) == names
    assert list(trained.region_names(tokens)) == ["sequence_1", "sequence_2", "sequence_3", "sequence_4"]


def test_known_and_new_regions_in_one_call(with_effect, mdata, world, fasta):
    """Known ones keep their own term; new ones, which may overlap them, are read from sequence."""
    names = list(mdata["atac"].var_names)
    new = ["chr2:1015-1101", "chr1:301-400"]
    asked = [names[5], new[0], names[100], new[1]]
    got = with_effect.predict(mdata, regions=asked, fasta=fasta)
    whole = with_effect.predict(mdata)
    np.testing.assert_allclose(got[:, [0, 2]], whole[:, [5, 100]], atol=1e-6)
    windows = []
    for name in new:
        chrom, span = name.split(":")
        start, end = map(int, span.split("-"))
        low = (start + end) // 2 - LENGTH // 2
        windows.append(world[1][chrom][low : low + LENGTH])
    np.testing.assert_allclose(got[:, [1, 3]], with_effect.predict(mdata, regions=np.stack(windows)), atol=2e-6)
    assert list(with_effect.region_names(asked, fasta=fasta)) == asked


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        (["chr1:5-90"], r"1 of 1 regions \(such as 'chr1:5-90'\) are not among the 360 .*fasta='genome.fa'"),
        (["chr1:140-260", "chr1:140-260"], "'chr1:140-260' more than once"),
        ([], "names no region"),
        (pd.DataFrame({"chrom": ["chr1"], "begin": [1]}), r"lacks the columns \['start', 'end'\].*'begin'"),
        ("absent.bed", "regions= 'absent.bed' is not there"),
        (np.zeros((3, 20), np.int8), "20 bases long; the model reads 140"),
    ],
    ids=["new", "twice", "none", "columns", "no file", "short"],
)
def test_regions_that_cannot_be_predicted(trained, mdata, regions, message):
    with pytest.raises(ChromatellError, match=message):
        trained.predict(mdata, regions=regions)


@pytest.mark.parametrize(
    ("regions", "message"),
    [
        (["peak_a"], r"1 of 1 regions have no coordinates \(such as 'peak_a'\)"),
        (["chr1:90-90"], "1 of 1 regions end where they start"),
        (["chr9:100-220"], "'chr9'.*it has 'chr1', 'chr2'"),
        (["chr1:900000-900120"], r"'chr1:900000-900120'; chr1 ends at [\d,]+\) have no sequence in the FASTA"),
    ],
    ids=["no coordinates", "empty", "no chromosome", "off the end"],
)
def test_regions_that_the_genome_does_not_have(trained, mdata, fasta, regions, message):
    with pytest.raises(ChromatellError, match=message):
        trained.predict(mdata, regions=regions, fasta=fasta)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1 100 200\n", "bad.bed' has 1 columns, 'chr1 100 200'. Needed: a BED"),
        ("chr1\tx\t200\n", "1 of 1 rows are no intervals.*'chr1:x-200'"),
        ("chr1\t1\t99999999999999999999999\n", "1 of 1 rows are no intervals"),
        ("", "has 0 columns"),
    ],
    ids=["spaces", "no number", "too large", "empty"],
)
def test_files_that_are_no_bed(trained, mdata, tmp_path, text, message):
    (tmp_path / "bad.bed").write_text(text)
    with pytest.raises(ChromatellError, match=message):
        trained.predict(mdata, regions=tmp_path / "bad.bed")


def test_one_odd_row_of_a_bed_is_left_out_and_counted(trained, mdata, tmp_path):
    """And what browsers write before the rows, and starts that count from 1: as every other BED is read."""
    names = list(mdata["atac"].var_names[:150])
    rows = [name.replace(":", "\t").replace("-", "\t") for name in names]
    path = tmp_path / "some.bed"
    for odd in ("chr1\tx\t9", "chr1\t1\t9" + 20 * "9", "chr1", "chr1\t9\t9", "\t5\t9"):
        path.write_text("\n".join(["track name=x", "browser position chr1:1-2", *rows[:70], odd, *rows[70:]]))
        with pytest.warns(ChromatellWarning, match="1 of 151 rows are no intervals"):
            assert list(trained.region_names(path)) == names
        path.write_text("\n".join([*rows, odd, odd, odd]))
        with pytest.raises(ChromatellError, match="3 of 153 rows are no intervals"):
            trained.predict(mdata, regions=path)


def test_a_bed_with_comments_and_more_columns(trained, mdata, tmp_path):
    name = mdata["atac"].var_names[4]
    chrom, span = name.split(":")
    line = "\t".join([chrom, *span.split("-"), "peak", "0", "+"])
    (tmp_path / "a.bed").write_text(f"# made by a peak caller\n{line}\n")
    got = trained.predict(mdata, regions=tmp_path / "a.bed")
    np.testing.assert_allclose(got, trained.predict(mdata)[:, [4]], atol=1e-6)


def test_names_of_chromosomes_in_a_bed_are_text(tmp_path):
    (tmp_path / "a.bed").write_text("01\t5\t9\nNA\t1\t4\n")
    assert read_bed(tmp_path / "a.bed").to_numpy().tolist() == [["01", 5, 9], ["NA", 1, 4]]


def test_the_same_cells_however_they_are_asked_for(trained, mdata):
    whole = trained.predict(mdata)
    places = np.array([30, 2, 111])
    mask = np.zeros(240, bool)
    mask[[2, 30, 111]] = True
    for source in (mdata, mdata["rna"]):
        for cells in (places, list(places), [f"c{i}" for i in places], pd.Index([f"c{i}" for i in places])):
            np.testing.assert_allclose(trained.predict(source, cells=cells), whole[places], atol=1e-6)
        np.testing.assert_allclose(trained.predict(source, cells=mask), whole[mask], atol=1e-6)
        np.testing.assert_allclose(trained.predict(source, cells="c7"), whole[[7]], atol=1e-6)
    np.testing.assert_allclose(
        trained.predict(cells=mdata.obs["cell_type"] == "1"), whole[mdata.obs["cell_type"] == "1"], atol=1e-6
    )
    for wrong in (["nobody"], [999], np.ones(3, bool)):
        with pytest.raises(
            ChromatellError, match=r"cells= takes names, .* of the 240 cells, whose names look like 'c0'"
        ):
            trained.predict(mdata, cells=wrong)


def test_a_store_holds_the_same(trained, mdata, tmp_path):
    path = trained.predict(mdata, out=tmp_path / "p.zarr", cells=np.arange(50), regions=list(trained.regions[:70]))
    stored = ad.read_zarr(path)
    np.testing.assert_allclose(np.asarray(stored.X), trained.predict(mdata)[:50, :70], atol=1e-6)
    assert list(stored.obs_names) == [f"c{i}" for i in range(50)]
    assert list(stored.var_names) == list(trained.regions[:70])


def test_queries_that_are_none(trained):
    for query in (np.ones(3), md.MuData({"other": ad.AnnData(np.ones((3, 2), np.float32))})):
        with pytest.raises(ChromatellError, match="takes an AnnData of expression or a MuData with modality 'rna'"):
            trained.predict(query)


def test_regions_without_coordinates_in_their_names_are_found_by_place(fit, small, tmp_path):
    """Also by a model that was loaded: the record holds `var`'s chrom, start and end."""
    mdata = small.copy()
    atac = mdata["atac"].copy()
    bed = tmp_path / "two.bed"
    atac.var.iloc[[7, 3]][["chrom", "start", "end"]].to_csv(bed, sep="\t", header=False, index=False)
    atac.var_names = [f"peak_{i}" for i in range(120)]
    renamed = md.MuData({"rna": mdata["rna"], "atac": atac})
    renamed.obs["ctl_split"] = mdata.obs["ctl_split"]
    model = fit(renamed, epochs=1)
    want = model.predict(renamed)[:, [7, 3]]
    again = ctl.models.load(model.to_record())
    np.testing.assert_allclose(again.predict(mdata["rna"], regions=bed), want, atol=1e-6)
    pd.testing.assert_frame_equal(again.fitted.places, model.fitted.places, check_index_type=False)
    with pytest.raises(ChromatellError, match="not among the 120 that the model holds"):
        again.predict(mdata["rna"], regions=["chr1:1-50"])
    record = model.to_record()
    for crafted in (record.arrays["regions.places"] - 5, record.arrays["regions.places"][:5]):
        arrays = {**record.arrays, "regions.places": crafted}
        other = ctl.io.Record(
            config=record.config, arrays=arrays, family="xchrom", schema=record.schema, var_names=record.var_names
        )
        with pytest.raises(ChromatellError, match=r"regions\.places"):
            ctl.models.load(other)
