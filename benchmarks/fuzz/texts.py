"""The kinds of text."""

from __future__ import annotations

from typing import Any

import numpy as np
from benchmarks.fuzz import plain
from benchmarks.fuzz.kinds import Text

_RNG = np.random.default_rng(0)
_STARTS = np.cumsum(_RNG.integers(50, 400, 30)).tolist()
_BARCODES = ["AAACAG-1", "CCCTTG-1", "GGGTTT-1"]


def rows_of(table: Any, columns: list[str]) -> list[tuple]:
    return [
        tuple(v.item() if isinstance(v, np.generic) else v for v in row)
        for row in table[columns].itertuples(index=False)
    ]


class Bed(Text):
    name, file, parser = "regions.bed", "regions.bed", plain.bed
    text = "".join(f"chr{1 + i % 2}\t{s}\t{s + 40}\tname{i}\n" for i, s in enumerate(_STARTS))

    def read(self) -> Any:
        from chromatell.genome.bed import read_bed

        return rows_of(read_bed(self.path), ["chrom", "start", "end"])


class Fragments(Text):
    name, file, parser = "fragments.tsv", "fragments.tsv", plain.fragments
    text = "# id=x\n" + "".join(f"chr1\t{s}\t{s + 90}\t{_BARCODES[i % 3]}\t1\n" for i, s in enumerate(_STARTS))

    def read(self) -> Any:
        from chromatell.io.fragments import fragment_blocks

        columns = ["chrom", "start", "end", "barcode"]
        return [
            (str(a), b, c, str(d)) for block in fragment_blocks(self.path) for a, b, c, d in rows_of(block, columns)
        ]


class Sizes(Text):
    name, file, parser = "chrom.sizes", "chrom.sizes", plain.sizes
    text = "".join(f"chr{i}\t{1000 * i + 7}\n" for i in range(1, 9))

    def read(self) -> Any:
        from chromatell.genome.builds import chromosome_sizes

        return list(chromosome_sizes(self.path).items())


class Vcf(Text):
    name, file, parser = "variants.vcf", "variants.vcf", plain.vcf
    text = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + "".join(
        f"chr1\t{s}\trs{i}\t{'ACGT'[i % 4]}\t{'CGTA'[i % 4]}{',<DEL>' if i == 7 else ''}\t.\tPASS\t.\n"
        for i, s in enumerate(_STARTS)
    )

    def read(self) -> Any:
        from chromatell.genome.variants import read_variants

        return rows_of(read_variants(self.path), ["chrom", "pos", "ref", "alt"])


class Fasta(Text):
    name, file, parser = "genome.fa", "genome.fa", plain.fasta
    text = "".join(
        f">chr{i} words\n" + "".join("".join(_RNG.choice(list("ACGT"), 50)) + "\n" for _ in range(4)) for i in (1, 2)
    )
    separator = "A"

    def read(self) -> Any:
        from chromatell.genome import Genome, decode

        for cache in self.path.parent.glob("genome.fa.*"):
            cache.unlink()
        genome = Genome(self.path)
        letters = []
        for name, length in genome.chromosomes.items():
            tokens = genome.fetch(name, 0, length)
            letters.append((name, decode(tokens)))
        return letters

    def judge(self, answer: Any) -> str:
        """Compare names and lengths: letters other than ACGT are N."""
        short = lambda rows: [(name, len(sequence)) for name, sequence in rows]  # noqa: E731
        from benchmarks.fuzz.kinds import DOCUMENTED, SAME, SILENT

        if answer == self.original:
            return SAME
        try:
            rows, _ = plain.fasta(self.altered.decode("utf-8"))
        except UnicodeDecodeError:
            return DOCUMENTED if all(set(s) <= set("ACGTN") for _, s in answer) else SILENT
        return DOCUMENTED if short(answer) == short([(n, s) for n, s in rows]) else SILENT


_GTF = "".join(
    f'chr1\tx\t{kind}\t{s + 1}\t{s + (200 if kind != "exon" else 90)}\t.\t{"+-"[i % 2]}\t.\tgene_id "E{i}"; '
    f'transcript_id "T{i}"; gene_name "G{i}"; gene_type "protein_coding";\n'
    for i, s in enumerate(_STARTS[:10])
    for kind in ("gene", "transcript", "exon")
)


class Genes(Text):
    name, file, text = "genes.gtf", "genes.gtf", _GTF

    def read(self) -> Any:
        from chromatell.genome.annotation import read_genes

        found = read_genes(self.path)
        assert (found["tss"] >= 0).all()
        return rows_of(found, ["gene", "chrom", "tss", "strand"])


class GeneModels(Text):
    name, file, text = "models.gtf", "models.gtf", _GTF

    def read(self) -> Any:
        from chromatell.genome.transcripts import read_gene_models

        found = read_gene_models(self.path)
        for table in (found.bodies, found.exons, found.utr):
            assert (table["end"] > table["start"]).all()
            assert (table["start"] >= 0).all()
        return [rows_of(t, ["chrom", "start", "end"]) for t in (found.bodies, found.exons, found.utr)]


class Bed12(Text):
    name, file = "genes.bed12", "genes.bed12"
    text = "".join(
        f"chr1\t{s}\t{s + 300}\tG{i}|T{i}|protein_coding\t0\t{'+-'[i % 2]}\t{s + 20}\t{s + 250}\t0\t2\t100,120\t0,180\n"
        for i, s in enumerate(_STARTS[:12])
    )
    read = GeneModels.read


class Homer(Text):
    name, file = "peaks.homer", "peaks.homer"
    text = "PeakID\tChr\tStart\tEnd\tStrand\tPeak Score\tAnnotation\tDistance to TSS\tGene Name\n" + (
        "".join(f"p{i}\tchr1\t{s}\t{s + 99}\t+\t0\tintron (NM_1)\t{i - 5}\tG{i}\n" for i, s in enumerate(_STARTS))
    )

    def read(self) -> Any:
        from chromatell.genome.homer import read_homer

        found = read_homer(self.path)
        assert (found["end"] > found["start"]).all()
        assert (found["start"] >= 0).all()
        return rows_of(found, ["chrom", "start", "end"])


class Meme(Text):
    name, file, separator = "motifs.meme", "motifs.meme", " "
    text = (
        "MEME version 4\n\nALPHABET= ACGT\n\nBackground letter frequencies\nA 0.25 C 0.25 G 0.25 T 0.25\n\n"
        + "".join(
            f"MOTIF M{i} name{i}\nletter-probability matrix: alength= 4 w= 3 nsites= 20 E= 0\n"
            "0.1 0.2 0.3 0.4\n0.7 0.1 0.1 0.1\n0.25 0.25 0.25 0.25\n\n"
            for i in range(3)
        )
    )

    def read(self) -> Any:
        from chromatell.genome.motifs import read_motifs

        found = read_motifs(str(self.path))
        for matrix in found.values():
            assert np.isfinite(matrix).all()
            assert (matrix >= 0).all()
        return [(name, matrix.tolist()) for name, matrix in found.items()]


KINDS = (Bed, Fragments, Sizes, Vcf, Fasta, Genes, GeneModels, Bed12, Homer, Meme)
