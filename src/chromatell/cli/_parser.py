"""The arguments of every command. Nothing here loads torch or scvi-tools: ``--help`` must be fast."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from chromatell.cli import _texts
from chromatell.cli._signatures import (
    FAMILIES,
    NAMED,
    add_keywords,
    assigned,
    keywords,
    listed,
    of_family,
    option_names,
)


class UsageError(Exception):
    """The call itself is wrong, whatever the files hold."""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; ``args.command`` is None where no command was given."""
    parser = argparse.ArgumentParser(
        prog="chromatell",
        description="Predict chromatin from expression, DNA or nascent RNA, and know how good the prediction is.",
        epilog=_texts.MAIN,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"chromatell {version('chromatell')}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    _demo(_command(commands, "demo", "the main job on a packaged example", _texts.DEMO, _texts.EXIT_CODES, verbosity=1))
    for name, summary, description, epilog, add_arguments in (
        ("bin", "fragments or peaks in, cells x bins of the genome out", _texts.BIN, _texts.BIN_EPILOG, _bin),
        ("train", "data in, data with model and predictions out", _texts.TRAIN, _texts.TRAIN_EPILOG, _train),
        ("predict", "apply a stored model", _texts.PREDICT, _texts.PREDICT_EPILOG, _predict),
        ("evaluate", "score predictions beside baselines", _texts.EVALUATE, _texts.EVALUATE_EPILOG, _evaluate),
        ("report", "data, models and scores as one page", _texts.REPORT, _texts.REPORT_EPILOG, _report),
        ("info", "what a file holds", _texts.INFO, _texts.INFO_EPILOG, _info),
        ("export", "a model alone, with its card", _texts.EXPORT, _texts.EXPORT_EPILOG, _export),
        ("variant", "what variants do to accessibility", _texts.VARIANT, _texts.VARIANT_EPILOG, _variant),
        ("ism", "what each base of a region does", _texts.ISM, _texts.ISM_EPILOG, _ism),
        ("completion", "a script that completes commands", _texts.COMPLETION, _texts.EXIT_CODES, _completion),
    ):
        add_arguments(_command(commands, name, summary, description, epilog))
    return parser


def _command(
    commands: Any, name: str, summary: str, description: str, epilog: str, *, verbosity: int = 2
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(verbosity=verbosity)
    told = parser.add_argument_group("messages")
    told.add_argument("-v", "--verbose", action="count", default=0, help="say more, on stderr; may be repeated")
    told.add_argument("-q", "--quiet", action="count", default=0, help="say less: -q warnings only, -qq errors only")
    again = parser.add_argument_group("options in a file", "What the command line says goes before what the file says.")
    again.add_argument("--config", type=Path, metavar="RUN.toml", help="take options from this file")
    again.add_argument("--print-config", action="store_true", help="print such a file for this call, and do nothing")
    return parser


def _demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder to write into; made where it is not there (default: the current one)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace the files of an earlier demo there")


def _bin(parser: argparse.ArgumentParser) -> None:
    what = (
        "a fragments file, plain or packed, as Cell Ranger, chromap or sinto write it; or a matrix of peaks: .h5ad, "
        ".h5mu or .zarr"
    )
    parser.add_argument("input", type=Path, metavar="SOURCE", help=what)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help=".h5ad or .zarr to write; an .h5mu holds the expression of the cells too, that of --barcodes or SOURCE",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is there of the same kind")
    cells = parser.add_argument_group("cells")
    cells.add_argument(
        "--barcodes",
        type=Path,
        metavar="FILE",
        help="the cells: a list such as barcodes.tsv.gz, Cell Ranger's matrix (.h5), or .h5ad, .h5mu or .zarr of the "
        "same cells, whose columns of obs come along (default: all of enough fragments)",
    )
    cells.add_argument(
        "--min-fragments", type=_natural, metavar="N", help="of a cell, without --barcodes (default: 1000)"
    )
    bins = parser.add_argument_group("bins")
    bins.add_argument(
        "--chrom-sizes", metavar="BUILD", help="hg19, hg38, hs1, mm9, mm10, mm39, or a chrom.sizes file; needed"
    )
    bins.add_argument("--bin-size", type=_positive, metavar="BP", help="(default: 5000)")
    bins.add_argument("--blacklist", type=Path, metavar="X.bed", help="bins that overlap these regions are dropped")
    bins.add_argument(
        "--bins",
        type=Path,
        metavar="OTHER.h5ad",
        help="the bins of this file instead: those that a model was trained on",
    )
    bins.add_argument("--keep-empty", action="store_true", help="keep bins that are open in none of the cells")
    counts = parser.add_argument_group("counts")
    counts.add_argument("--count", choices=("fragments", "cut_sites"), help="what is counted (default: fragments)")
    counts.add_argument(
        "--assign", choices=("midpoint", "overlap"), help="the bin of a fragment's or peak's middle (default), or all"
    )


def _train(parser: argparse.ArgumentParser) -> None:
    what = (
        "paired cells: .h5mu or .zarr with modalities 'rna' and 'atac'; for atacformer, 'atac' or a .h5ad of cells x "
        "bins will do; for nascent, a store of tracks: .zarr"
    )
    _files(parser, "IN", what, needs_output=True, needs_input=False)
    parser.add_argument(
        "--predictions",
        "--out",
        type=Path,
        metavar="OUT.zarr",
        help="write the predictions into this store, beside the output, instead of into it; needed for very large ones",
    )
    parser.add_argument(
        "--family",
        default="dense",
        choices=("dense", "xchrom", "atacformer", "nascent"),
        help="dense (default); xchrom, which reads DNA; atacformer, open bins; or nascent, tracks",
    )
    parser.add_argument("--key", "--key-added", help="name of the model in the output (default: that of the family)")
    _seed(parser)
    cells = parser.add_argument_group(
        "cells", "Where IN has no obs['ctl_split'], or one of these is given, a split is made; it is said so."
    )
    cells.add_argument("--split-by", metavar="COLUMN", help="column of obs, such as donor: whole groups are held out")
    cells.add_argument(
        "--fractions",
        type=_share,
        nargs=3,
        metavar=("TRAIN", "VAL", "TEST"),
        help="shares of the cells (default: 0.7 0.1 0.2); for nascent, of the bins (default: 0.8 0.1 0.1)",
    )
    add_keywords(cells, (keywords("tl.dense")[name] for name in NAMED), option_names(parser))
    features = parser.add_argument_group(
        "features", "Where none is given, those selected in IN are used (var['ctl_selected']), else all."
    )
    features.add_argument("--n-genes", type=_positive, metavar="N", help="the N most variable genes")
    features.add_argument("--n-regions", type=_positive, metavar="N", help="the N most variable regions")
    features.add_argument(
        "--min-open",
        type=_share,
        metavar="SHARE",
        help="regions open in at least this share of the training cells, such as 0.005",
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "--preset", help="dense: default, panel or wizel2025; xchrom: small or xchrom; atacformer: small or base"
    )
    _depth(model)
    model.add_argument("--depth-key", metavar="COLUMN", help="column of the atac obs with each cell's fragments")
    model.add_argument(
        "--set",
        type=assigned,
        action="append",
        metavar="NAME=VALUE",
        help="any other option of the model as Python takes it, such as n_latent=64 or length=1344; may be repeated",
    )
    for family, add_own in zip(FAMILIES, (_of_dense, _of_xchrom, _of_atacformer, _of_nascent), strict=True):
        group = parser.add_argument_group(f"for --family {family}", _texts.FAMILIES.get(family))
        add_own(group)
        add_keywords(group, of_family(family).values(), option_names(parser))
    training = parser.add_argument_group("training")
    training.add_argument("--max-epochs", type=_positive, metavar="N", help="at most so many epochs")
    training.add_argument("--batch-size", type=_positive, metavar="N", help="cells of a step; for xchrom, regions")
    training.add_argument("--lr", type=_rate, help="learning rate")
    training.add_argument("--accelerator", metavar="NAME", help="auto, cpu or gpu (default: auto)")
    training.add_argument("--checkpoint-dir", type=Path, metavar="DIR", help="keep the state of training here")


def _of_dense(group: Any) -> None:
    group.add_argument("--encoder", help="mlp, autoencoder, transformer or shared")
    group.add_argument(
        "--covariates",
        "--continuous-covariate-keys",
        type=listed,
        metavar="A,B",
        help="numeric columns of obs, joined by commas",
    )


def _of_xchrom(group: Any) -> None:
    group.add_argument(
        "--fasta",
        type=Path,
        metavar="GENOME.fa",
        help="genome of the regions' build, plain or bgzip; IN may hold the sequences instead (varm['dna_code'])",
    )
    group.add_argument("--width", type=_positive, metavar="N", help="bases read around each region (default: 1344)")
    group.add_argument(
        "--split-regions",
        choices=("chromosome", "random", "blocks"),
        help="hold out whole chromosomes; groups of regions; or, of tracks, blocks (the default for nascent)",
    )
    group.add_argument(
        "--test-chromosomes", type=listed, metavar="A,B", help="the chromosomes to hold out for the test"
    )
    group.add_argument("--motifs", type=Path, metavar="MOTIFS.meme", help="motifs to count in each region")
    group.add_argument(
        "--cells-per-batch", type=_positive, metavar="N", help="cells drawn for each step (default: all)"
    )


def _of_atacformer(group: Any) -> None:
    group.add_argument(
        "--decoder",
        help="chromosome, region_class or cross_attention (default: of small the last, with --context the first)",
    )
    group.add_argument("--eos", help="inside the sentence (default), outside or both")
    group.add_argument("--max-length", type=_positive, metavar="N", help="tokens of a sentence at most (default: 5000)")
    group.add_argument(
        "--tokens-per-batch", type=_positive, metavar="N", help="tokens of a step (default: that of the preset)"
    )
    group.add_argument(
        "--pretrained", type=Path, metavar="FILE", help="go on from this model; bins are matched by name"
    )
    group.add_argument("--pretrained-key", metavar="KEY", help="which model of that file, where there are several")


def _of_nascent(group: Any) -> None:
    _signal(group)
    group.add_argument(
        "--target",
        type=_named,
        action="append",
        metavar="NAME=X.bw",
        help="what to learn, a bigWig or peaks (BED); may be repeated",
    )
    group.add_argument("--chroms", type=listed, metavar="A,B", help="chromosomes to bin (default: all)")
    group.add_argument("--bin-size", type=_positive, metavar="BP", help="(default: 50)")
    group.add_argument("--stat", choices=("mean", "mean_covered", "sum", "max"), help="of a bin (default: mean)")
    group.add_argument("--blacklist", type=Path, metavar="X.bed", help="regions whose signal is an artefact")
    group.add_argument(
        "--smooth", type=_not_negative, metavar="BINS", help="smooth the targets; 0 does not (bigWigs: 10)"
    )
    group.add_argument("--block", type=_positive, metavar="BP", help="length of the blocks of a split (default: 1 Mb)")
    group.add_argument("--architecture", help="transfer (default), xgboost, dense or cnn")
    group.add_argument("--window", type=_odd, metavar="BINS", help="read around a bin, an odd number of bins")


def _signal(group: Any) -> None:
    for name, what in (("plus", "signal of the plus strand"), ("minus", "of the minus strand")):
        group.add_argument(f"--{name}", type=Path, metavar="X.bw", help=f"{what}, a bigWig")
    group.add_argument("--signal", type=Path, metavar="X.bw", help="signal without strand, in place of the two")


def _predict(parser: argparse.ArgumentParser) -> None:
    what = "cells with expression, or for atacformer open bins: .h5ad, .h5mu or .zarr; or a store of tracks: .zarr"
    _files(parser, "QUERY", what, needs_output=False, needs_input=False)
    parser.add_argument("--model", type=Path, required=True, help=".h5mu, .h5ad, .zarr or exported model")
    parser.add_argument("--key", help="which model, where there are several")
    parser.add_argument(
        "--regions",
        type=Path,
        metavar="REGIONS.bed",
        help="the regions to predict, for a model that reads DNA (default: those of the model)",
    )
    parser.add_argument(
        "--fasta", type=Path, metavar="GENOME.fa", help="genome of the regions that the model does not hold"
    )
    _depth(parser)
    tracks = parser.add_argument_group("for a model that reads tracks", "In place of QUERY: bigWigs.")
    _signal(tracks)
    tracks.add_argument("--chroms", type=listed, metavar="A,B", help="chromosomes to predict (default: all)")
    tracks.add_argument(
        "--bigwig", type=Path, metavar="DIR", help="write a bigWig of each predicted target into this folder"
    )
    parser.add_argument(
        "--out-store",
        "--out",
        type=Path,
        metavar="OUT.zarr",
        help="write the predictions into this store, beside the output, instead of into it; needed for very large ones",
    )
    add_keywords(parser, keywords("tl.predict").values(), option_names(parser))


def _evaluate(parser: argparse.ArgumentParser) -> None:
    what = "cells with predictions: .h5mu or .zarr; cells x bins with a model that reads them: .h5ad; or tracks: .zarr"
    _files(parser, "IN", what, needs_output=False)
    parser.add_argument(
        "--csv",
        type=Path,
        metavar="TABLE.csv",
        help="write every score to this table; - is stdout, in place of the leaderboard",
    )
    parser.add_argument("--models", type=listed, metavar="A,B", help="which predictions (default: all)")
    parser.add_argument(
        "--baselines",
        type=listed,
        default=["all"],
        metavar="A,B",
        help="all, none, or kinds joined by commas, such as region_mean,knn (default: all)",
    )
    parser.add_argument(
        "--labels",
        default="cell_type",
        metavar="COLUMN",
        help="column of obs with cell types, or none (default: cell_type)",
    )
    parser.add_argument(
        "--split", default="test", choices=("test", "val", "train"), help="cells to score (default: test)"
    )
    parser.add_argument(
        "--pairs",
        type=listed,
        metavar="A,B",
        help="some of cross-cell, cross-sample, cross-region and cross-both, or, of models that read a cell's own "
        "bins, of completion, labels and embedding (default: all that the file allows)",
    )
    parser.add_argument(
        "--removed",
        type=_share,
        metavar="SHARE",
        help="of completion: the share of each cell's open bins that is taken out and asked for (default: 0.2)",
    )
    parser.add_argument(
        "--n-bootstrap",
        type=_natural,
        default=200,
        metavar="N",
        help="replicates behind the intervals; 0 for none (default: 200)",
    )
    _seed(parser)
    add_keywords(parser, keywords("tl.evaluate").values(), option_names(parser))


def _report(parser: argparse.ArgumentParser) -> None:
    what = "data with models, predictions and scores: .h5mu, .h5ad or .zarr, tracks too"
    parser.add_argument("input", type=Path, metavar="IN", help=what)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT.html", help="the page to write")
    parser.add_argument("--overwrite", action="store_true", help="replace a page that is there")
    parser.add_argument(
        "--groupby", default="cell_type", metavar="COLUMN", help="column of obs that colours cells (default: cell_type)"
    )
    parser.add_argument("--title", metavar="TEXT", help="heading of the page (default: the name of IN)")


def _info(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="FILE", help=".h5mu, .h5ad, .zarr, or an exported model")
    parser.add_argument("--json", action="store_true", help="print it as JSON, with every score")


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", type=Path, metavar="IN", help="data that carry a model: .h5mu, .h5ad or .zarr")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="the folder to make")
    parser.add_argument("--key", help="which model, where there are several")
    parser.add_argument("--overwrite", action="store_true", help="replace a model and its card that are there")


def _variant(parser: argparse.ArgumentParser) -> None:
    _with_sequence(parser, "--per")
    parser.add_argument(
        "--variants",
        type=Path,
        required=True,
        metavar="X.vcf",
        help="VCF, plain or gzip, or a table: chrom, pos, ref, alt",
    )
    parser.add_argument("--n-null", type=_positive, metavar="N", help="random variants beside them (default: 1000)")
    _seed(parser)
    add_keywords(parser, keywords("tl.variant_effect").values(), option_names(parser))


def _ism(parser: argparse.ArgumentParser) -> None:
    _with_sequence(parser)
    parser.add_argument(
        "--regions", required=True, metavar="A,B", help="names of regions, joined by commas, or a .bed (with --fasta)"
    )
    parser.add_argument("--window", type=_positive, metavar="BP", help="bases about the middle (default: 200)")
    add_keywords(parser, keywords("tl.ism").values(), option_names(parser))


def _with_sequence(parser: argparse.ArgumentParser, *groupby: str) -> None:
    what = "cells with expression, regions, and an XChrom model unless --model names one: .h5mu or .zarr"
    _files(parser, "IN", what, needs_output=False)
    parser.add_argument("--csv", type=Path, metavar="TABLE.csv", help="write the effects to this table; - is stdout")
    parser.add_argument("--model", type=Path, help="another file or exported model, in place of that in IN")
    parser.add_argument("--key", help="which model (default: xchrom)")
    parser.add_argument("--fasta", type=Path, metavar="GENOME.fa", help="genome, where IN holds no sequences")
    parser.add_argument(
        "--groupby",
        *groupby,
        default="cell_type",
        metavar="COLUMN",
        help="column of obs with groups of cells, or none (default: cell_type)",
    )


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="which shell")


def _files(
    parser: argparse.ArgumentParser, name: str, what: str, *, needs_output: bool, needs_input: bool = True
) -> None:
    parser.add_argument("input", type=Path, nargs=None if needs_input else "?", metavar=name, help=what)
    parser.add_argument(
        "-o", "--output", type=Path, required=needs_output, metavar="OUT", help=".h5mu or .zarr to write; tracks: .zarr"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace outputs that are there, of the same kind: data, tracks, bigWigs, tables; anything else stays",
    )


def _seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=_natural, metavar="N", help="of every random step (default: 0)")


def _depth(parser: Any) -> None:
    parser.add_argument(
        "--depth",
        choices=("predicted", "fixed", "observed"),
        help="depth of a cell: predicted from its expression (default), fixed, or observed, which reads its ATAC",
    )


def _natural(text: str) -> int:
    """Return a whole number from 0."""
    return _number(text, int, lambda x: x >= 0, "a whole number from 0")


def _positive(text: str) -> int:
    """Return a whole number from 1."""
    return _number(text, int, lambda x: x >= 1, "a whole number from 1")


def _odd(text: str) -> int:
    """Return an odd whole number from 1."""
    return _number(text, int, lambda x: x >= 1 and x % 2 == 1, "an odd whole number from 1")


def _rate(text: str) -> float:
    """Return a finite number over 0."""
    return _number(text, float, lambda x: x > 0, "a number over 0")


def _not_negative(text: str) -> float:
    """Return a finite number from 0."""
    return _number(text, float, lambda x: x >= 0, "a number from 0")


def _share(text: str) -> float:
    """Return a number from 0 to 1."""
    return _number(text, float, lambda x: 0 <= x <= 1, "a share, a number from 0 to 1")


def _number(text: str, kind: Any, fits: Callable[[Any], bool], what: str) -> Any:
    try:
        number = kind(text)
    except ValueError:
        number = None
    if number is None or not (fits(number) and number < 1e18):  # NaN fits nothing
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
    return number


def _named(text: str) -> tuple[str, Path]:
    """Return a name and a path, of NAME=PATH."""
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=X.bw, such as H3K4me3=H3K4me3.bw")
    return name, Path(path)
