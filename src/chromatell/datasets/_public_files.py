"""Public files that ``ctl.datasets.fetch`` knows by name, each with the hash under which others use it."""

from __future__ import annotations

from dataclasses import dataclass

_ARC = "https://cf.10xgenomics.com/samples/cell-arc/1.0.0/pbmc_granulocyte_sorted_10k/pbmc_granulocyte_sorted_10k_"
_GENCODE = "https://ftp.ebi.ac.uk/pub/databases/gencode/Gencode_"
_JASPAR = "https://jaspar.elixir.no/download/data/2024/CORE/JASPAR2024_CORE_vertebrates_non-redundant_pfms_meme.txt"


@dataclass(frozen=True)
class PublicFile:
    """Where a file lies, ``md5:`` or ``sha256:`` of it as published, what it holds and which call reads it."""

    url: str
    digest: str
    holds: str
    read_by: str
    unpack: bool = False  # a genome as gzip, which is no bgzip: it is kept unpacked


def _genome(url: str, sha256: str, holds: str) -> PublicFile:
    return PublicFile(url, f"sha256:{sha256}", holds, "ctl.pp.add_sequence(mdata, path)", unpack=True)


# The hashes of the PBMCs are those of the data pages of GLUE (and SnapATAC2); the genomes' those of SnapATAC2.
PUBLIC_FILES = {
    "pbmc10k_multiome": PublicFile(
        f"{_ARC}filtered_feature_bc_matrix.h5",
        "md5:920b16bf1e63b6610bf74bf9040ed386",
        "counts of 10x Genomics' 10k PBMC Multiome (CC BY 4.0), genes and peaks, GRCh38; 162 MB",
        "ctl.datasets.multiome_10x(path)",
    ),
    "pbmc10k_fragments": PublicFile(
        f"{_ARC}atac_fragments.tsv.gz",
        "md5:a959ef83dfb9cae6ff73ab0147d547d1",
        "its fragments",
        "ctl.pp.bin_genome(path, chrom_sizes='hg38')",
    ),
    "pbmc10k_fragments_index": PublicFile(
        f"{_ARC}atac_fragments.tsv.gz.tbi",
        "md5:df967acbe28da89aed9cfdd89370b7af",
        "the tabix index of its fragments",
        "what reads parts of the fragments",
    ),
    "hg38": _genome(
        f"{_GENCODE}human/release_41/GRCh38.primary_assembly.genome.fa.gz",
        "4fac949d7021cbe11117ddab8ec1960004df423d672446cadfbc8cca8007e228",
        "GRCh38 primary assembly (GENCODE 41)",
    ),
    "hg19": _genome(
        "https://hgdownload.soe.ucsc.edu/goldenPath/hg19/bigZips/hg19.fa.gz",
        "ac73947d38df63ccb00724520a5c31d880c1ca423702ca7ccb7e6c2182a362d9",
        "GRCh37 of UCSC",
    ),
    "mm10": _genome(
        f"{_GENCODE}mouse/release_M25/GRCm38.primary_assembly.genome.fa.gz",
        "617b10dc7ef90354c3b6af986e45d6d9621242b64ed3a94c9abeac3e45f18c17",
        "GRCm38 primary assembly (GENCODE M25)",
    ),
    "mm39": _genome(
        f"{_GENCODE}mouse/release_M30/GRCm39.primary_assembly.genome.fa.gz",
        "3b923c06a0d291fe646af6bf7beaed7492bf0f6dd5309d4f5904623cab41b0aa",
        "GRCm39 primary assembly (GENCODE M30)",
    ),
    "jaspar2024": PublicFile(
        _JASPAR,
        "sha256:dd494278d356a4e170908c74d6d8eb746a2c7504d6210cd51017141f21a65b18",
        "JASPAR 2024 CORE, vertebrates, non-redundant (CC BY 4.0), in MEME's format",
        "ctl.genome.motifs.read_motifs(path)",
    ),
}
