import time

import anndata
import mudata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData

import chromatell as ctl
from chromatell import ChromatellError
from chromatell.genome.builds import BUILDS
from chromatell.genome.region_classes import CLASSES

LENGTH = {"chr1": 30_000, "chr2": 17_000}
NO_GENE = np.iinfo(np.int64).max


def regions(chrom, start, end):
    names = [f"{c}:{s}-{e}" for c, s, e in zip(chrom, start, end, strict=True)]
    return AnnData(sp.csr_matrix((2, len(names)), dtype=np.float32), var=pd.DataFrame(index=names))


def bins(lengths, size):
    chrom, start = zip(*[(c, s) for c, n in lengths.items() for s in range(0, n, size)], strict=True)
    return regions(chrom, start, [min(s + size, lengths[c]) for c, s in zip(chrom, start, strict=True)])


@pytest.fixture(scope="module")
def transcripts():
    """Random ones, on both strands, coding and not, overlapping."""
    draw = np.random.default_rng(5)
    found = []
    for i in range(14):
        chrom = ("chr1", "chr2")[i % 2]
        low = int(draw.integers(0, LENGTH[chrom] - 4000))
        cuts = np.sort(draw.choice(np.arange(1, 4000), 2 * int(draw.integers(1, 5)), replace=False))
        exons = [(low + int(a), low + int(b)) for a, b in cuts.reshape(-1, 2)]
        start, end = exons[0][0], exons[-1][1]
        coding = tuple(sorted(int(v) for v in draw.integers(start, end + 1, 2))) if i % 3 else (start, start)
        kind = ("lincRNA", "protein_coding", "pseudogene")[i % 3]
        found.append((chrom, "+-"[i % 4 // 2], f"G{i}", kind, exons, coding))
    return found


@pytest.fixture(scope="module")
def bed12(transcripts, tmp_path_factory):
    lines = []
    for chrom, strand, gene, kind, exons, (a, b) in transcripts:
        start, end = exons[0][0], exons[-1][1]
        sizes = ",".join(str(e - s) for s, e in exons)
        starts = ",".join(str(s - start) for s, _ in exons)
        fields = [chrom, start, end, f"{gene}|t|{kind}", 0, strand, a, b, 0, len(exons), sizes, starts]
        lines.append("\t".join(map(str, fields)))
    path = tmp_path_factory.mktemp("genes") / "genes.bed12"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def beds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("beds")
    draw = np.random.default_rng(9)
    found = {}
    for name in ("enhancer", "repeats"):
        rows = [(c, int(s)) for c in LENGTH for s in draw.integers(0, LENGTH[c] - 900, 6)]
        found[name] = [(c, s, s + int(draw.integers(1, 900))) for c, s in rows]
        (folder / f"{name}.bed").write_text("".join(f"{c}\t{s}\t{e}\n" for c, s, e in found[name]))
    return folder, found


def painted(transcripts, beds):
    """Each class base by base, from the definitions in the docstring."""
    line = {(k, c): np.zeros(n, dtype=bool) for k in (*CLASSES, "body", "any exon") for c, n in LENGTH.items()}
    for chrom, strand, _, kind, exons, coding in transcripts:
        start, end = exons[0][0], exons[-1][1]
        line["body", chrom][start:end] = True
        for s, e in exons:
            line["any exon", chrom][s:e] = True
            line["ncRNA" if kind == "lincRNA" else "exon", chrom][s:e] = True
            for base in range(s, e) if coding[0] < coding[1] else ():
                if not coding[0] <= base < coding[1]:
                    first = (base < coding[0]) == (strand == "+")
                    line["5'UTR" if first else "3'UTR", chrom][base] = True
        for base in range(LENGTH[chrom]):
            past = base - start if strand == "+" else end - 1 - base  # from the start site on
            line["promoter", chrom][base] |= -2000 <= past < 500
            past = base - (end - 1) if strand == "+" else start - base
            line["TTS", chrom][base] |= -100 <= past < 1000
    for name, rows in beds.items():
        for chrom, s, e in rows:
            line[name, chrom][s:e] = True
    for chrom in LENGTH:
        line["intron", chrom] = line["body", chrom] & ~line["any exon", chrom]
        line["intergenic", chrom] = ~(line["body", chrom] | line["promoter", chrom] | line["TTS", chrom])
    return line


@pytest.mark.parametrize("size", [5000, 300, 41])
def test_against_painted_bases(transcripts, bed12, beds, size):
    folder, rows = beds
    data = bins(LENGTH, size)
    files = {"genes": bed12, "enhancer": folder / "enhancer.bed", "repeats": [folder / "repeats.bed"]}
    assert ctl.pp.annotate_regions(data, files) is None
    line = painted(transcripts, rows)
    fraction = data.varm["region_class_fraction"]
    order = [c for c in CLASSES if c not in ("insulator", "CTCF", "conserved")]
    assert fraction.columns.tolist() == order
    assert fraction.index.equals(data.var_names)
    assert set(fraction.dtypes) == {np.dtype(np.float32)}
    found = data.var["region_class"].astype(object).fillna("").tolist()
    places = [n.replace("-", ":").split(":") for n in data.var_names]
    for i, (chrom, start, end) in enumerate((c, int(s), int(e)) for c, s, e in places):
        wanted = [line[name, chrom][start:end].mean() for name in order]
        np.testing.assert_allclose(fraction.iloc[i], wanted, atol=1e-6)
        here = [name for name in order if line[name, chrom][(start + end) // 2]]
        assert found[i] == (here[0] if here else "")
    sites = [(c, e[0][0] if s == "+" else e[-1][1] - 1, s, g) for c, s, g, _, e, _ in transcripts]
    for i in range(0, data.n_vars, 5):
        chrom, start, end = places[i]
        middle = (int(start) + int(end)) // 2
        near = min((abs(middle - t), t) for c, t, _, _ in sites if c == chrom)
        _, tss, strand, gene = next(x for x in sites if x[:2] == (chrom, near[1]))
        assert data.var["nearest_gene"].iloc[i] == gene
        assert data.var["tss_distance"].iloc[i] == (middle - tss) * (1 if strand == "+" else -1)
    assert data.var["tss_distance"].dtype == np.int64


def test_windows_precedence_and_classes_of_ones_own(bed12, beds):
    folder, _ = beds
    data = bins(LENGTH, 100)
    files = {"genes": bed12, "silencer": folder / "enhancer.bed"}
    order = ["silencer", "exon", "promoter", "intron", "TTS", "intergenic", "5'UTR", "3'UTR", "ncRNA"]
    ctl.pp.annotate_regions(data, files, precedence=order, promoter=(10, 5), tts=(0, 1))
    fraction = data.varm["region_class_fraction"]
    assert fraction.columns.tolist() == order
    assert (fraction["promoter"].sum() * 100).round() <= 14 * 15
    full = fraction["silencer"] == 1
    assert full.any()
    assert (data.var["region_class"][full] == "silencer").all()
    ctl.pp.annotate_regions(data, files, precedence=order, classes=["exon", "silencer"])
    assert data.varm["region_class_fraction"].columns.tolist() == ["silencer", "exon"]
    assert data.var["region_class"].isna().any()
    # a file of a class takes the place of what genes say of it
    ctl.pp.annotate_regions(data, {"genes": bed12, "promoter": folder / "enhancer.bed"})
    np.testing.assert_array_equal(data.varm["region_class_fraction"]["promoter"], fraction["silencer"])


def test_mudata_copy_and_round_trip(mdata, bed12, fields, log, tmp_path):
    atac = mdata.mod["atac"]
    atac.var["chrom"], atac.var["start"] = "chr1", np.arange(80) * 300
    atac.var["end"] = atac.var["start"] + 300
    before = fields(mdata)
    new = ctl.pp.annotate_regions(mdata, bed12, copy=True)
    assert fields(mdata) == before
    after = fields(new)
    added = {"atac:var/region_class", "atac:var/nearest_gene", "atac:var/tss_distance"}
    found = set(after) - set(before)
    assert {f for f in found if "region_classes/" not in f and "region_class_fraction" not in f} == added
    assert {k: after[k] for k in before} == before
    how = new.uns["ctl"]["region_classes"]
    assert how["absent"] == "enhancer, insulator, CTCF, conserved, repeats"
    assert how["classes"].tolist() == ["promoter", "TTS", "5'UTR", "3'UTR", "exon", "ncRNA", "intron", "intergenic"]
    assert set(how["source"]) == {"genes.bed12"}
    assert "Classes left out, as no file gives them: enhancer, insulator, CTCF, conserved, repeats." in log
    new.write(tmp_path / "x.h5mu")
    new.write_zarr(tmp_path / "x.zarr")
    for back in (mudata.read_h5mu(tmp_path / "x.h5mu"), mudata.read_zarr(tmp_path / "x.zarr")):
        one, two = back.mod["atac"], new.mod["atac"]
        pd.testing.assert_frame_equal(one.varm["region_class_fraction"], two.varm["region_class_fraction"])
        assert one.var["region_class"].tolist() == two.var["region_class"].tolist()
        assert one.var["tss_distance"].tolist() == two.var["tss_distance"].tolist()
        assert back.uns["ctl"]["region_classes"]["absent"] == how["absent"]


def test_chromosomes_without_a_gene_are_not_intergenic(bed12, log):
    data = bins({**LENGTH, "chr3": 900, "scaffold.1": 200}, 500)
    ctl.pp.annotate_regions(data, bed12)
    off = data.var_names.str.startswith(("chr3", "scaffold"))
    assert (data.varm["region_class_fraction"][off] == 0).to_numpy().all()
    assert data.var["region_class"][off].isna().all()
    assert not data.var["region_class"][~off].isna().any()
    assert (data.var["nearest_gene"] == "").tolist() == off.tolist()
    assert (data.var["tss_distance"] == NO_GENE).tolist() == off.tolist()
    assert any("on 2 of the regions' 4 chromosomes ('chr3', 'scaffold.1')" in line for line in log)
    assert any(line.startswith("3 of ") and "have no class at their middle" in line for line in log)


def test_without_genes_no_nearest_gene_is_written(beds):
    data = bins(LENGTH, 1000)
    ctl.pp.annotate_regions(data, {"enhancer": beds[0] / "enhancer.bed"})
    assert data.var.columns.tolist() == ["region_class"]
    assert data.uns["ctl"]["region_classes"]["absent"].startswith("promoter, TTS")


def test_homers_labels_are_kept(tmp_path, fields):
    data = regions(["chr1", "chr1", "chr2"], [100, 200, 0], [200, 300, 50])
    head = "PeakID (cmd=x)\tChr\tStart\tEnd\tStrand\tPeak Score\tFocus Ratio\tAnnotation\tDistance to TSS\tGene Name\n"
    rows = [
        "b\tchr1\t201\t300\t+\t0\tNA\t3' UTR (NM_1, exon 2 of 5)\t-42\tG1",
        "a\tchr1\t101\t200\t+\t0\tNA\tpromoter-TSS (NM_2)\t7\tG2",
        "c\tchr2\t1\t50\t+\t0\tNA\tNA\tNA\t",
    ]
    path = tmp_path / "homer.txt"
    path.write_text(head + "\n".join(rows) + "\n")
    ctl.pp.annotate_regions(data, path)
    assert data.var["region_class"].astype(object).where(data.var["region_class"].notna(), "").tolist() == [
        "promoter-TSS", "3' UTR", "",
    ]  # fmt: skip
    assert data.varm["region_class_fraction"].to_dict("list") == {"3' UTR": [0, 1, 0], "promoter-TSS": [1, 0, 0]}
    assert data.var["homer_annotation"].tolist() == ["promoter-TSS (NM_2)", "3' UTR (NM_1, exon 2 of 5)", "NA"]
    assert data.var["nearest_gene"].tolist() == ["G2", "G1", ""]
    assert data.var["tss_distance"].tolist() == [7, -42, NO_GENE]
    data.write(tmp_path / "x.h5ad")
    assert anndata.read_h5ad(tmp_path / "x.h5ad").var["region_class"].cat.categories.tolist() == [
        "3' UTR",
        "promoter-TSS",
    ]
    before = fields(data)
    path.write_text(head + "\n".join(rows[:2]) + "\n")
    with pytest.raises(ChromatellError, match=r"1 of 3 regions \(such as 'chr2:0-50'\) are not among the 2 peaks"):
        ctl.pp.annotate_regions(data, {"homer": path})
    path.write_text(head + "\n".join(rows) + "\n")
    with pytest.raises(ChromatellError, match=r"classes=\['exon'\] are not among them"):
        ctl.pp.annotate_regions(data, path, classes=["exon"])
    assert fields(data) == before


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"classes": ["promoter", "repeats"]}, r"asks for \['repeats'\].*genes.bed12.*'repeats': 'file.bed'"),
        ({"classes": ["promotr"]}, r"asks for \['promotr'\]"),
        ({"classes": "exon"}, "classes='exon': a list of names"),
        ({"classes": ["exon", "exon"]}, "names a class twice"),
        ({"precedence": ["exon"]}, "is not known; choose one of"),
        ({"precedence": ["a/b"]}, "none of which holds a '/'"),
        ({"promoter": 2000}, "promoter=2000: two numbers of bp"),
        ({"promoter": (-1, 5)}, "promoter=-1 is out of range"),
        ({"tts": (0, 0)}, "holds no base"),
        ({"chrom_sizes": {"chr1": 29_000}}, "1 of 47 regions.* one ends at 30,000 of chr1, which has 29,000 bp"),
        ({"chrom_sizes": "nowhere"}, "neither a file nor one of the builds"),
    ],
)
def test_arguments_that_cannot_be_used(bed12, fields, options, match):
    data = bins(LENGTH, 1000)
    before = fields(data)
    with pytest.raises(ChromatellError, match=match):
        ctl.pp.annotate_regions(data, bed12, **options)
    assert fields(data) == before


def test_other_names_of_chromosomes(bed12, tmp_path, log):
    """`1` and `chr1` are the same, whichever side has which; what is found is the same, and it is logged."""
    path = tmp_path / "ensembl.bed"
    path.write_text("1\t5\t1009\nchr2\t0\t500\n")
    data = bins(LENGTH, 1000)
    ctl.pp.annotate_regions(data, {"genes": bed12, "CTCF": path})
    shares = data.varm["region_class_fraction"]
    assert shares["CTCF"].to_numpy()[[0, 1, 2, 30]] == pytest.approx([0.995, 0.009, 0, 0.5])
    plain = bins({c.removeprefix("chr"): n for c, n in LENGTH.items()}, 1000)
    log.clear()
    ctl.pp.annotate_regions(plain, {"genes": bed12, "CTCF": path})
    assert any("2 chromosomes have another name in genes.bed12 than in the regions (chr1, 1)" in x for x in log)
    np.testing.assert_array_equal(plain.varm["region_class_fraction"], shares)
    for column in ("region_class", "nearest_gene", "tss_distance"):
        assert plain.var[column].tolist() == data.var[column].tolist()
    assert plain.var_names[0] == "1:0-1000"
    path.write_text("II\t5\t9\n")
    with pytest.raises(ChromatellError, match=r"none of the regions' chromosomes \('chr1', 'chr2'\); it has 'II'"):
        ctl.pp.annotate_regions(data, {"CTCF": path})
    path.write_text("chr1\t5\n")
    with pytest.raises(ChromatellError, match="has 2 columns"):
        ctl.pp.annotate_regions(data, {"CTCF": path})


def test_another_build(data_dir, bed12):
    genes = data_dir / "annotation" / "hg19_gencode_chr22.gtf.gz"
    names = [f"chr22:{s}-{s + 500}" for s in (20_000_000, 50_000_000)]
    data = regions(["chr22"] * 2, [20_000_000, 50_000_000], [20_000_500, 50_000_500])
    assert data.var_names.tolist() == names
    ctl.pp.annotate_regions(data, genes)  # fits hg19 as well as others
    for change in ({"chrom_sizes": "hg38"}, {}):
        data.uns["genome"] = "hg19" if change else "GRCh38"
        with pytest.raises(
            ChromatellError, match=r"of another build.*chr22:512\d+, which has 50818468 bp. It fits hg19"
        ):
            ctl.pp.annotate_regions(data, genes, **change)
    del data.uns["genome"]
    size = BUILDS["hg38"]["chr22"]
    whole = regions(["chr22"] * 2, [0, size - 468], [5000, size])  # bins to the very end say which build they are of
    with pytest.raises(ChromatellError, match=r"of another build.*It fits hg19.* the regions hg38"):
        ctl.pp.annotate_regions(whole, genes)
    mouse = data_dir / "annotation" / "mm10_genes.tsv.gz"
    far = regions(["chr1", "chr22"], [230_000_000, 1000], [230_000_500, 2000])
    with pytest.raises(ChromatellError, match=r"of another build.*It fits mm\d+"):
        ctl.pp.annotate_regions(far, mouse)
    with pytest.raises(ChromatellError, match="have no coordinates"):
        ctl.pp.annotate_regions(AnnData(np.zeros((1, 1)), var=pd.DataFrame(index=["peak_1"])), bed12)


def test_bins_of_bin_genome(bed12, tmp_path):
    peaks = regions(["chr1", "chr2", "chr2"], [100, 400, 9000], [600, 900, 9500])
    peaks.X = sp.csr_matrix(np.ones((2, 3), dtype=np.float32))
    data = ctl.pp.bin_genome(peaks, size=1000, chrom_sizes=LENGTH)
    ctl.pp.annotate_regions(data, bed12)
    assert data.varm["region_class_fraction"].shape == (data.n_vars, 8)
    longer = tmp_path / "longer.bed"
    longer.write_text(f"chr2\t0\t{LENGTH['chr2'] + 1}\n")
    with pytest.raises(ChromatellError, match="longer.bed is of another build.*chr2:17001, which has 17000 bp"):
        ctl.pp.annotate_regions(data, {"repeats": longer})


# real data


def test_open_regions_of_blood_lie_in_promoters(data_dir):
    atac = anndata.read_h5ad(data_dir / "scatac" / "hemato_scatac.h5ad")
    ctl.pp.annotate_regions(atac, data_dir / "annotation" / "hg19_canonical_exons.bed12.gz")
    share = np.asarray((atac.X > 0).mean(axis=0)).ravel()
    fraction = atac.varm["region_class_fraction"]["promoter"].to_numpy()
    is_promoter = (atac.var["region_class"] == "promoter").to_numpy()
    # 2% of the genome, 7 times that of peaks, and the peaks there are open in several times as many cells
    assert 0.08 < is_promoter.mean() < 0.3
    assert share[is_promoter].mean() > 3 * share[~is_promoter].mean()
    most = np.argsort(-share)[:500]
    assert fraction[most].mean() > 3 * fraction.mean()
    near = (atac.var["tss_distance"].abs() < 500).to_numpy()
    assert share[near].mean() > 5 * share[~near].mean()
    assert (atac.var["nearest_gene"] != "").all()


def test_whole_genome_in_seconds(data_dir):
    lengths = BUILDS["hg19"]
    chrom = np.concatenate([np.full(-(-n // 5000), c, dtype=object) for c, n in lengths.items()])
    start = np.concatenate([np.arange(0, n, 5000) for n in lengths.values()])
    end = np.minimum(start + 5000, pd.Series(chrom).map(lengths).to_numpy())
    var = pd.DataFrame({"chrom": chrom, "start": start, "end": end})
    data = AnnData(sp.csr_matrix((1, len(var)), dtype=np.float32), var=var.set_axis([f"b{i}" for i in range(len(var))]))
    begin = time.perf_counter()
    ctl.pp.annotate_regions(data, data_dir / "annotation" / "hg19_canonical_exons.bed12.gz")
    assert time.perf_counter() - begin < 60  # 5 s on a free core
    fraction = data.varm["region_class_fraction"]
    total = fraction[["exon", "intron", "intergenic", "promoter", "TTS"]].sum(axis=1)
    assert (total > 0.9999).all()  # every base is in one of them, some in two
    assert (fraction[["exon", "intron", "intergenic"]].sum(axis=1) < 1.0001).all()  # and in one of these at most
    assert 0.01 < fraction["promoter"].mean() < 0.02
