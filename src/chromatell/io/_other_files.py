"""Files that hold no cells or models, and what reads them."""

from __future__ import annotations

from pathlib import Path

from chromatell._validate import ChromatellError, examples
from chromatell.io._replace import TRACKS_KIND, root_attributes
from chromatell.io._zarr_guard import INCOMPLETE, is_zarr

_READERS = {
    (".fa", ".fasta", ".fna"): "ctl.pp.add_sequence(mdata, 'PATH') reads a genome, as does ctl.genome.Genome",
    (".tsv", ".bed"): "ctl.pp.bin_genome('PATH', chrom_sizes='hg38') reads fragments, regions= and bins= a BED file",
    (".bw", ".bigwig"): "ctl.pp.bin_tracks({'plus': 'PATH'}) reads a bigWig",
    (".vcf",): "ctl.tl.variant_effect(mdata, 'PATH') reads a VCF",
    (".gtf", ".gff", ".gff3"): "annotation='PATH' reads it, where a call takes one",
    (".h5",): "ctl.datasets.multiome_10x('PATH') reads Cell Ranger's matrices",
    (".mtx",): "scanpy.read_10x_mtx reads its folder",
    (".loom",): "anndata.io.read_loom reads it",
    (".csv", ".txt"): "scanpy.read_csv or pandas.read_csv reads a table",
    (".bam", ".cram", ".sam"): "it holds reads: sinto makes fragments of them, deepTools bigWigs",
}


def what_reads(path: Path) -> str:
    """Return a sentence that names what reads a file of this suffix; '' where none is known."""
    suffix = Path(path.name.lower().removesuffix(".gz").removesuffix(".bgz")).suffix
    sentence = next((text for suffixes, text in _READERS.items() if suffix in suffixes), "")
    return sentence.replace("PATH", str(path)) + "." if sentence else ""


def check_cells(path: Path) -> None:
    """Raise where a path holds an exported model, tracks, or a Zarr store of something else, and name what reads it."""
    model = path / "model.safetensors" if path.is_dir() else path
    if model.suffix == ".safetensors" and model.is_file():
        raise ChromatellError(f"{path} holds a model and no cells. ctl.models.load({str(path)!r}) reads it.")
    if not (path.is_dir() and is_zarr(path)):
        return
    if root_attributes(path).get("encoding-type") == TRACKS_KIND:
        raise ChromatellError(
            f"{path} holds tracks and no cells. ctl.data.BinnedTracks.open({str(path)!r}) reads them."
        )
    parts = {entry.name for entry in path.iterdir()}
    if not ({"obs", "var"} <= parts or "mod" in parts or INCOMPLETE in parts):  # the guard says of that how to go on
        raise ChromatellError(
            f"{path} is a Zarr store of neither an AnnData nor a MuData: it holds {examples(sorted(parts))}. Give the "
            "path of one, which may lie inside this store, as the tables of spatialdata do."
        )
