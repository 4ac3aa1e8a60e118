"""Annotation and DNA vectors of all 5-kb bins of a genome: time, memory, and what they say of peaks.

Run: ``python benchmarks/annotate_embed.py``; it takes about two minutes on one core.
"""

from __future__ import annotations

import resource
import tempfile
import time

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
from _data import data_dir, save
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_predict

import chromatell as ctl
from chromatell.genome.builds import BUILDS

FOLDS = KFold(5)  # in order along the genome: neighbours stay together


def bins(lengths: dict[str, int], size: int = 5000) -> anndata.AnnData:
    chrom = np.concatenate([np.full(-(-n // size), c, dtype=object) for c, n in lengths.items()])
    start = np.concatenate([np.arange(0, n, size) for n in lengths.values()])
    end = np.minimum(start + size, pd.Series(chrom).map(lengths).to_numpy())
    var = pd.DataFrame({"chrom": chrom, "start": start, "end": end}, index=[f"b{i}" for i in range(len(start))])
    return anndata.AnnData(sp.csr_matrix((1, len(var)), dtype=np.float32), var=var)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def annotation_rows(folder) -> list[str]:
    rows = []
    for build, file in (
        ("hg19", "hg19_genes.tsv.gz"),
        ("hg19", "hg19_canonical_exons.bed12.gz"),
        ("mm10", "mm10_transcripts.bed12.gz"),
    ):
        data = bins(BUILDS[build])
        start = time.perf_counter()
        ctl.pp.annotate_regions(data, folder / file)
        n_classes = data.varm["region_class_fraction"].shape[1]
        seconds = time.perf_counter() - start
        rows.append(f"| {build} | {data.n_vars:,} | {file} | {n_classes} | {seconds:.1f} | {peak()} |")
    return rows


def share_rows(folder) -> list[str]:
    genome, peaks = bins(BUILDS["hg19"]), anndata.read_h5ad(data_dir() / "scatac" / "hemato_scatac.h5ad")
    tables = []
    for data in (genome, peaks):
        ctl.pp.annotate_regions(data, folder / "hg19_canonical_exons.bed12.gz")
        tables.append(data.varm["region_class_fraction"])
    opened = np.asarray((peaks.X > 0).mean(axis=0)).ravel()
    top = tables[1].to_numpy()[np.argsort(-opened)[:1000]].mean(axis=0)
    wanted = ["promoter", "TTS", "exon", "intron", "intergenic"]
    return [
        f"| {c} | {tables[0][c].mean():.3f} | {tables[1][c].mean():.3f} | {top[list(tables[1]).index(c)]:.3f} |"
        for c in wanted
    ]


def embedding_rows(folder) -> tuple[list[str], list[str]]:
    with tempfile.TemporaryDirectory() as cache:
        genome = ctl.genome.Genome(data_dir() / "genome" / "hg19_chr20_chr22.fa.gz", cache_dir=cache)
        data = bins(genome.chromosomes)
        ctl.pp.annotate_regions(data, folder / "hg19_canonical_exons.bed12.gz")
        mdata = ctl.datasets.simulate_sequence_multiome(n_cells=100, n_regions=120, seed=0)
        ctl.pp.split_cells(mdata, seed=0)
        ctl.tl.xchrom(mdata, train_kwargs={"max_epochs": 1})
        speed, said = [], []
        for method, n in (("kmer", data.n_vars), ("xchrom", 500)):
            part = data[:, 6000 : 6000 + n].copy() if n < data.n_vars else data
            start = time.perf_counter()
            model = ctl.models.load(mdata) if method == "xchrom" else None
            ctl.pp.embed_sequence(part, genome, method=method, model=model, device="cpu")
            rate = part.n_vars / (time.perf_counter() - start)
            speed.append(
                f"| {method} | {part.varm['X_dna'].shape[1]} | {rate:,.0f} | {600_000 / rate / 60:,.0f} | {peak()} |"
            )
        has = np.abs(data.varm["X_dna"]).sum(axis=1) > 0
        vectors = data.varm["X_dna"][has]
        for name in ("promoter", "exon"):
            y = data.varm["region_class_fraction"][name].to_numpy()[has]
            r = [
                np.corrcoef(cross_val_predict(LinearRegression(), vectors[:, :k], y, cv=FOLDS), y)[0, 1]
                for k in (1, 64)
            ]
            said.append(f"| {name} | {r[0]:.2f} | {r[1]:.2f} |")
    return speed, said


def main() -> None:
    folder = data_dir() / "annotation"
    speed, said = embedding_rows(folder)
    lines = [
        "# Regions: annotation and DNA vectors",
        "",
        "One core of a machine that others used too; seconds include reading the file. MB is the peak of the process "
        "so far.",
        "",
        "| build | 5-kb bins | annotation | classes | s | MB |",
        "| --- | ---: | --- | ---: | ---: | ---: |",
        *annotation_rows(folder),
        "",
        "Mean share of bases (hg19; classes overlap, so columns do not add up to 1):",
        "",
        "| class | 5-kb bins of the genome | hemato peaks (500 bp) | the 1,000 peaks open in most cells |",
        "| --- | ---: | ---: | ---: |",
        *share_rows(folder),
        "",
        "DNA vectors of the 5-kb bins of hg19 chr20 and chr22; xchrom is the `small` preset on one CPU core, for which "
        "a GPU is meant. No Nucleotide Transformer was at hand: its code is tested with a tiny model alone.",
        "",
        "| method | length | bins/s | minutes for 600,000 | MB |",
        "| --- | ---: | ---: | ---: | ---: |",
        *speed,
        "",
        "Linear regression of a bin's share on its k-mer vector, five folds in order along the genome, Pearson r:",
        "",
        "| share | first component (GC) | 64 components |",
        "| --- | ---: | ---: |",
        *said,
    ]
    save("annotate_embed", "\n".join(lines))


if __name__ == "__main__":
    main()
