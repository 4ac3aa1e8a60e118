"""``tl.variant_effect`` against a linear model, whose effects are known by hand, and sequences put together as text."""

from __future__ import annotations

import mudata as md
import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

import chromatell as ctl
from chromatell import ChromatellError
from chromatell._validate import ChromatellWarning
from chromatell.genome.genome import Genome
from chromatell.genome.variants import read_variants
from chromatell.tl import _variant_effect as module
from chromatell.tl._variant_effect import variant_effect
from chromatell.tl._variant_windows import GenomeWindows, RegionWindows

LENGTH = 20


def text(tokens: np.ndarray) -> str:
    return "".join("ACGTN"[t] for t in tokens)


def other(base: str, step: int = 1) -> str:
    return "ACGT"[("ACGT".index(base) + step) % 4]


def logit(model, v: np.ndarray, sequence: str) -> float:
    tokens = np.array(["ACGTN".index(b) for b in sequence], dtype=np.int8)[None]
    return float((model.region_vectors(tokens) @ v)[0])


def centred(genome, chrom: str, pos: int, ref: str, allele: str) -> str:
    """The 20 bases about the middle of an allele that stands in the place of `ref`."""
    whole = "N" * 30 + text(genome[chrom]) + "N" * 30
    at = pos - 1 + 30
    assert whole[at : at + len(ref)] == ref
    changed = whole[:at] + allele + whole[at + len(ref) :]
    first = at + len(allele) // 2 - LENGTH // 2
    return changed[first : first + LENGTH]


@pytest.fixture
def snvs(genome) -> pd.DataFrame:
    """Five substitutions: three in the windows of regions, one beyond them, one at the edge of a chromosome."""
    places = [("chr1", 120), ("chr2", 66), ("chr1", 150), ("chr2", 350), ("chr1", 2)]
    refs = ["ACGT"[genome[c][p - 1]] for c, p in places]
    return pd.DataFrame(
        {
            "chrom": [c for c, _ in places],
            "pos": [p for _, p in places],
            "id": ["rs1", ".", "rs3", "rs4", "rs5"],
            "ref": refs,
            "alt": [other(r, i % 3 + 1) for i, r in enumerate(refs)],
        }
    )


def vectors(mdata) -> dict[str, np.ndarray]:
    v = mdata.mod["rna"].obsm["v"].astype(np.float32)
    types = mdata.obs["cell_type"].astype(object).to_numpy()
    return {g: v[types == g].mean(axis=0) for g in "abc"} | {"all": v.mean(axis=0)}


def test_substitutions_from_a_fasta(sequenced, linear, fasta, genome, snvs):
    assert variant_effect(sequenced, snvs, model=linear, fasta=fasta, n_null=0) is None
    table = sequenced.uns["ctl"]["variant_effect"]
    assert list(table.columns) == [
        "chrom", "pos", "id", "ref", "alt", "region", "group", "effect", "logit_ref", "p", "q"
    ]  # fmt: skip
    assert len(table) == 15
    assert table["group"].tolist() == ["a", "b", "c"] * 5
    assert table["id"].tolist()[::3] == ["rs1", "", "rs3", "rs4", "rs5"]
    assert table["region"].tolist()[::3] == ["chr1:100-131", "chr2:60-80", "chr1:140-161", "", ""]
    assert table[["p", "q"]].isna().all(axis=None)
    v = vectors(sequenced)
    for row in table.itertuples():
        ref, alt = (centred(genome, row.chrom, row.pos, row.ref, a) for a in (row.ref, row.alt))
        assert ref[10] == row.ref
        np.testing.assert_allclose(
            row.effect, logit(linear, v[row.group], alt) - logit(linear, v[row.group], ref), atol=2e-5
        )
        np.testing.assert_allclose(row.logit_ref, logit(linear, v[row.group], ref), atol=2e-5)
        weight = np.einsum("kbl,k->bl", linear.both, v[row.group])[:, 10]
        np.testing.assert_allclose(row.effect, weight["ACGT".index(row.alt)] - weight["ACGT".index(row.ref)], atol=2e-5)


def test_substitutions_in_the_windows_of_regions(sequenced, linear, genome, snvs):
    with pytest.warns(ChromatellWarning, match="2 of 5 variants lie in no region's window.*fasta='genome.fa'"):
        variant_effect(sequenced, snvs, model=linear, per=None, n_null=0)
    table = sequenced.uns["ctl"]["variant_effect"]
    assert table["region"].tolist() == ["chr1:100-131", "chr2:60-80", "chr1:140-161"]
    assert table["group"].tolist() == ["all"] * 3
    weight = np.einsum("kbl,k->bl", linear.both, vectors(sequenced)["all"])
    starts = [105, 60, 140]  # of the 20 bases that the model reads
    for row, start in zip(table.itertuples(), starts, strict=True):
        i = row.pos - 1 - start
        expected = weight["ACGT".index(row.alt), i] - weight["ACGT".index(row.ref), i]
        np.testing.assert_allclose(row.effect, expected, atol=2e-5)
        window = text(genome[row.chrom][start : start + 20])
        np.testing.assert_allclose(row.logit_ref, logit(linear, vectors(sequenced)["all"], window), atol=2e-5)


def test_the_key_under_which_the_model_found_its_sequences(sequenced, linear, genome, snvs):
    variant_effect(sequenced, snvs[:3], model=linear, n_null=5)
    expected = sequenced.uns["ctl"]["variant_effect"]
    sequenced.mod["atac"].varm["wide"] = sequenced.mod["atac"].varm.pop("dna_code")
    linear.config = {"setup": {"sequence": "wide"}}
    variant_effect(sequenced, snvs[:3], model=linear, n_null=5)
    pd.testing.assert_frame_equal(sequenced.uns["ctl"]["variant_effect"], expected)
    del sequenced.mod["atac"].varm["wide"]
    with pytest.raises(ChromatellError, match="varm\\['wide'\\]"):
        variant_effect(sequenced, snvs[:3], model=linear, n_null=5)
    with pytest.raises(ChromatellError, match="varm\\['wide'\\]"):
        ctl.tl.ism(sequenced, ["chr2:60-80"], model=linear)


def test_the_nearest_of_two_windows_is_read(sequenced, linear, genome):
    sequenced.mod["atac"].var.loc["chr1:140-161", ["start", "end"]] = [110, 131]  # middle 120, the other one 115
    sequenced.mod["atac"].varm["dna_code"][1] = genome["chr1"][108:132]
    for pos, region, start in ((118, "chr1:100-131", 105), (119, "chr1:140-161", 110)):
        ref = "ACGT"[genome["chr1"][pos - 1]]
        one = pd.DataFrame({"chrom": "1", "pos": [pos], "ref": ref, "alt": other(ref)})  # another style of name
        variant_effect(sequenced, one, model=linear, per=None, n_null=0)
        table = sequenced.uns["ctl"]["variant_effect"]
        assert table["region"].tolist() == [region]
        weight = np.einsum("kbl,k->bl", linear.both, vectors(sequenced)["all"])[:, pos - 1 - start]
        expected = weight["ACGT".index(other(ref))] - weight["ACGT".index(ref)]
        np.testing.assert_allclose(table["effect"], [expected], atol=2e-5)


@pytest.mark.parametrize(
    ("n_ref", "alt"), [(1, "xTTG"), (4, "x"), (3, "ACG"), (2, "xGTACGT"), (10, "x"), (1, "xACGTACGTA")]
)
@pytest.mark.parametrize("pos", [61, 3, 396])
def test_insertions_and_deletions_keep_each_allele_in_the_middle(sequenced, linear, fasta, genome, n_ref, alt, pos):
    pos = min(pos, 400 - n_ref)
    ref = text(genome["chr2"][pos - 1 : pos - 1 + n_ref])
    alt = alt.replace("x", ref[0])
    alt = alt if alt != ref else alt[:-1] + other(alt[-1])
    one = pd.DataFrame({"chrom": "chr2", "pos": [pos], "ref": ref, "alt": alt})
    variant_effect(sequenced, one, model=linear, fasta=fasta, per=None, n_null=0)
    row = sequenced.uns["ctl"]["variant_effect"].iloc[0]
    v = vectors(sequenced)["all"]
    before, after = (logit(linear, v, centred(genome, "chr2", pos, ref, a)) for a in (ref, alt))
    np.testing.assert_allclose(row["effect"], after - before, atol=2e-5)
    np.testing.assert_allclose(row["logit_ref"], before, atol=2e-5)


def test_p_is_the_share_of_random_variants_with_an_effect_as_large(sequenced, linear, fasta, snvs):
    variant_effect(sequenced, snvs, model=linear, fasta=fasta, n_null=300, seed=4)
    table = sequenced.uns["ctl"]["variant_effect"]
    source = GenomeWindows(Genome(fasta), sequenced.mod["atac"], LENGTH)
    placed = source.place(read_variants(snvs).assign(at=snvs["pos"] - 1))
    null = source.shuffled(placed, 300, np.random.default_rng(4))
    ref, alt = (linear.region_vectors(s) for s in source.pairs(null))
    for group, v in vectors(sequenced).items():
        if group == "all":
            continue
        own, random = table[table["group"] == group], np.abs((alt - ref) @ v)
        as_large = [np.sum(random >= abs(e) - 1e-5 * random.max()) for e in own["effect"]]
        np.testing.assert_allclose(own["p"], (1 + np.array(as_large)) / 301)
        np.testing.assert_allclose(own["q"], false_discovery_control(own["p"]))
    assert table["p"].nunique() > 5


def test_empirical_p_by_hand():
    p = module.empirical_p(np.array([[0.5], [-2.0], [0.0], [9.0]]), np.array([[1.0], [-2.0], [0.25], [-0.5]]))
    np.testing.assert_allclose(p[:, 0], [4 / 5, 2 / 5, 1.0, 1 / 5])
    p = module.empirical_p(np.array([[1.0000001], [-1.001]]), np.array([[1.0]] * 3))
    np.testing.assert_allclose(p[:, 0], [1.0, 1 / 4])  # equal but for rounding


@pytest.mark.parametrize("from_fasta", [True, False])
def test_random_variants_keep_alleles_and_neighbours_in_training_regions(
    sequenced, fasta, genome, snvs, rng, from_fasta
):
    atac = sequenced.mod["atac"]
    atac.var["ctl_split"] = ["train", "test", "train", "val", "train"]
    if from_fasta:
        source = GenomeWindows(Genome(fasta), atac, LENGTH)
        placed = source.place(read_variants(snvs).assign(at=snvs["pos"] - 1))
    else:
        source = RegionWindows(atac, atac.varm["dna_code"], LENGTH)
        placed = source.place(read_variants(snvs[:3]).assign(at=snvs["pos"][:3] - 1))
    null = source.shuffled(placed, 400, rng)
    assert len(null) == 400
    ref, alt = source.pairs(null)
    given = set(zip(placed["ref"], placed["alt"], strict=True))
    assert set(zip(null["ref"], null["alt"], strict=True)) == given
    near = source.context(placed)
    contexts = {(r, a, *c) for r, a, c in zip(placed["ref"], placed["alt"], near[:, [0, 2]].tolist(), strict=True)}
    middles = {"chr1": [(115, 15), (255, 15)], "chr2": [(216, 17)]}  # of training regions, and half their width
    at = null["at"] if from_fasta else null["place"] + np.array([105, 140, 245, 60, 206])[null["row"]]
    chrom = null["contig"] if from_fasta else np.array(["chr1", "chr1", "chr1", "chr2", "chr2"])[null["row"]]
    kept = 0
    for i, (c, p, r, a) in enumerate(zip(chrom, at, null["ref"], null["alt"], strict=True)):
        assert "ACGT"[genome[c][p]] == r
        assert min(abs(p - m) - (half if from_fasta else 10) for m, half in middles[c]) <= 0
        changed = np.flatnonzero(ref[i] != alt[i])
        assert changed.tolist() == [10 if from_fasta else null["place"][i]]
        assert text(alt[i])[changed[0]] == a
        kept += (r, a, int(genome[c][p - 1]), int(genome[c][p + 1])) in contexts
    assert kept > 40  # where the window has such a place


def test_random_insertions_and_deletions(sequenced, fasta, genome, rng):
    ref = text(genome["chr2"][60:64])
    both = pd.DataFrame({"chrom": "chr2", "pos": [61, 61], "ref": [ref, ref[0]], "alt": [ref[0], ref[0] + "GGA"]})
    source = GenomeWindows(Genome(fasta), sequenced.mod["atac"], LENGTH)
    null = source.shuffled(source.place(read_variants(both).assign(at=both["pos"] - 1)), 60, rng)
    lost, gained = null[null["ref"].str.len() == 4], null[null["ref"].str.len() == 1]
    assert len(lost) + len(gained) == 60
    assert min(len(lost), len(gained)) > 10
    assert (lost["alt"] == ref[0]).all()
    assert (gained["alt"] == ref[0] + "GGA").all()
    for row in null.itertuples():
        assert text(genome[row.contig][row.at : row.at + len(row.ref)]) == row.ref
    assert lost["ref"].nunique() > 3


def test_seeds_batches_and_copies(sequenced, linear, fasta, snvs, monkeypatch):
    def run(**call):
        return ctl.tl.variant_effect(sequenced, snvs, model=linear, fasta=fasta, n_null=50, copy=True, **call)

    expected = run(seed=1).uns["ctl"]["variant_effect"]
    assert "ctl" not in sequenced.uns
    pd.testing.assert_frame_equal(run(seed=1).uns["ctl"]["variant_effect"], expected)
    assert not run(seed=2).uns["ctl"]["variant_effect"]["p"].equals(expected["p"])
    monkeypatch.setattr(module, "_ROWS", 2)
    monkeypatch.setattr(ctl.settings, "seed", 1)
    pd.testing.assert_frame_equal(run().uns["ctl"]["variant_effect"], expected)


def test_reading_costs_the_same_for_more_groups(sequenced, linear, fasta, snvs):
    variant_effect(sequenced, snvs, model=linear, fasta=fasta, per=None, n_null=7)
    once, linear.read = linear.read, 0
    variant_effect(sequenced, snvs, model=linear, fasta=fasta, n_null=7)
    assert linear.read == once == 24  # two alleles of 5 and of 7


def test_a_vcf(sequenced, linear, fasta, snvs, tmp_path):
    path = tmp_path / "v.vcf"
    r = snvs.iloc[0]
    path.write_text(f"##x\n#CHROM\tPOS\tID\tREF\tALT\nchr1\t{r.pos}\trs1\t{r.ref}\t{r.alt},{other(r.alt)}\n")
    variant_effect(sequenced, path, model=linear, fasta=fasta, per=None, n_null=0)
    table = sequenced.uns["ctl"]["variant_effect"]
    assert table["alt"].tolist() == [r.alt, other(r.alt)]
    expected = variant_effect(sequenced, snvs[:1], model=linear, fasta=Genome(fasta), per=None, n_null=0, copy=True)
    np.testing.assert_allclose(table["effect"][0], expected.uns["ctl"]["variant_effect"]["effect"][0])


@pytest.mark.parametrize("suffix", [".h5mu", ".zarr"])
def test_survives_in_files(sequenced, linear, fasta, snvs, tmp_path, suffix):
    variant_effect(sequenced, snvs, model=linear, fasta=fasta, n_null=20, key_added="eqtl")
    path = tmp_path / f"x{suffix}"
    sequenced.write(path) if suffix == ".h5mu" else sequenced.write_zarr(path)
    again = md.read_h5mu(path) if suffix == ".h5mu" else md.read_zarr(path)
    found, expected = again.uns["ctl"]["eqtl"], sequenced.uns["ctl"]["eqtl"]
    assert list(found.columns) == list(expected.columns)
    for name in expected:
        assert found[name].tolist() == expected[name].tolist()


def test_another_build_is_refused(sequenced, linear, fasta, snvs):
    wrong = snvs.assign(pos=snvs["pos"] + 7, id="")
    wrong.loc[4] = ["chr1", 10_000, "", "A", "C"]  # off the end
    message = r"REF of \d of 5 variants .*\d0.0%\) is not what genome.fa holds there .*REF \w, found \w.*build"
    with pytest.raises(ChromatellError, match=message):
        variant_effect(sequenced, wrong, model=linear, fasta=fasta)
    one = snvs[:1].assign(ref=snvs["alt"][:1], alt=snvs["ref"][:1])
    for call, where in (({"fasta": fasta}, "genome.fa"), ({}, "the stored sequence")):
        with pytest.raises(ChromatellError, match=f"REF of 1 of 1 variants \\(100.0%\\) is not what {where} holds"):
            variant_effect(sequenced, one, model=linear, **call)
    with pytest.raises(ChromatellError, match=r"chr1:10000 REF A, found the end of chr1, at [\d,]+\)"):
        variant_effect(sequenced, wrong[4:], model=linear, fasta=fasta)
    assert "ctl" not in sequenced.uns


def test_what_cannot_be_read_is_left_out_and_counted(sequenced, linear, fasta, genome, snvs):
    ref = text(genome["chr1"][199:211])
    more = pd.DataFrame({"chrom": ["chr9", "chr1"], "pos": [5, 200], "ref": ["A", ref], "alt": ["C", ref[0]]})
    with pytest.warns(
        ChromatellWarning, match="2 of 7 variants are left out: 1 lie on .* 1 have .* over 10 bases.*chr9:5 A>C"
    ):
        variant_effect(sequenced, pd.concat([snvs, more]), model=linear, fasta=fasta, per=None, n_null=0)
    assert len(sequenced.uns["ctl"]["variant_effect"]) == 5
    with pytest.raises(ChromatellError, match="none of the variants' chromosomes \\('chr9'\\); it has 'chr1', 'chr2'"):
        variant_effect(sequenced, more[:1], model=linear, fasta=fasta)
    with pytest.raises(ChromatellError, match="1 of 1 variants are insertions or deletions.*fasta='genome.fa'"):
        variant_effect(sequenced, more[1:], model=linear)
    with pytest.raises(ChromatellError, match="None of the 1 variants lies in the window.*'chr2:350'"):
        variant_effect(sequenced, snvs[3:4], model=linear)


def no_tokens(mdata):
    del mdata.mod["atac"].varm["dna_code"]


@pytest.mark.parametrize(
    ("change", "call", "message"),
    [
        (None, {"model": None}, "no model 'xchrom'.*ctl.tl.xchrom"),
        (None, {"model": object()}, "reads no DNA"),
        (None, {"per": "kind"}, "Did not find mdata.obs\\['kind'\\]"),
        (None, {"n_null": -1}, "n_null=-1 is out of range: a whole number from 0"),
        (None, {"variants": "absent.vcf"}, "No file of variants at 'absent.vcf'"),
        (None, {"fasta": "absent.fa"}, "absent.fa"),
        (no_tokens, {}, "ctl.pp.add_sequence"),
        (None, {"key_added": "evaluation"}, "another tool"),
    ],
)
def test_bad_input_changes_nothing(sequenced, linear, snvs, change, call, message):
    if change:
        change(sequenced)
    arguments = {"variants": snvs[:3], "model": linear, **call}
    with pytest.raises(ChromatellError, match=message):
        variant_effect(sequenced, arguments.pop("variants"), **arguments)
    assert "ctl" not in sequenced.uns


def test_no_region_to_draw_from(sequenced, linear, fasta, snvs):
    alone = md.MuData({"rna": sequenced.mod["rna"]})
    with pytest.raises(ChromatellError, match="drawn from training regions.*n_null=0"):
        variant_effect(alone, snvs, model=linear, fasta=fasta, per=None)
    variant_effect(alone, snvs, model=linear, fasta=fasta, per=None, n_null=0)
    assert alone.uns["ctl"]["variant_effect"]["region"].tolist() == [""] * 5
