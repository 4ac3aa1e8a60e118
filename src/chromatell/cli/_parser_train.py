"""The arguments of ``chromatell train``: those of every family, then of each."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from chromatell.cli import _texts
from chromatell.cli._options import (
    depth,
    fasta,
    files,
    named,
    not_negative,
    odd,
    positive,
    predictions_store,
    rate,
    seed,
    share,
    signal,
)
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    what = (
        "paired cells: .h5mu or .zarr with modalities 'rna' and 'atac'; for atacformer, 'atac' or a .h5ad of cells x "
        "bins will do; for nascent, a store of tracks: .zarr"
    )
    files(parser, "IN", what, needs_output=True, needs_input=False)
    predictions_store(parser, "--predictions")
    parser.add_argument(
        "--family",
        default="dense",
        choices=FAMILIES,
        help="dense (default); xchrom, which reads DNA; atacformer, open bins; or nascent, tracks",
    )
    parser.add_argument("--key", "--key-added", help="name of the model in the output (default: that of the family)")
    seed(parser)
    cells = parser.add_argument_group(
        "cells", "Where IN has no obs['ctl_split'], or one of these is given, a split is made; it is said so."
    )
    cells.add_argument("--split-by", metavar="COLUMN", help="column of obs, such as donor: whole groups are held out")
    cells.add_argument(
        "--fractions",
        type=share,
        nargs=3,
        metavar=("TRAIN", "VAL", "TEST"),
        help="shares of the cells (default: 0.7 0.1 0.2); for nascent, of the bins (default: 0.8 0.1 0.1)",
    )
    add_keywords(cells, (keywords("tl.dense")[name] for name in NAMED), option_names(parser))
    features = parser.add_argument_group(
        "features", "Where none is given, those selected in IN are used (var['ctl_selected']), else all."
    )
    features.add_argument("--n-genes", type=positive, metavar="N", help="the N most variable genes")
    features.add_argument("--n-regions", type=positive, metavar="N", help="the N most variable regions")
    features.add_argument(
        "--min-open",
        type=share,
        metavar="SHARE",
        help="regions open in at least this share of the training cells, such as 0.005",
    )
    model = parser.add_argument_group("model")
    model.add_argument(
        "--preset", help="dense: default, panel or wizel2025; xchrom: small or xchrom; atacformer: small or base"
    )
    depth(model)
    model.add_argument("--depth-key", metavar="COLUMN", help="column of the atac obs with each cell's fragments")
    model.add_argument(
        "--set",
        type=assigned,
        action="append",
        metavar="NAME=VALUE",
        help="any other option of the model as Python takes it, such as n_latent=64 or length=1344; may be repeated",
    )
    own = {"dense": _of_dense, "xchrom": _of_xchrom, "atacformer": _of_atacformer, "nascent": _of_nascent}
    for family in FAMILIES:
        group = parser.add_argument_group(f"for --family {family}", _texts.FAMILIES.get(family))
        if family in own:
            own[family](group)
        add_keywords(group, of_family(family).values(), option_names(parser))
    training = parser.add_argument_group("training")
    training.add_argument("--max-epochs", type=positive, metavar="N", help="at most so many epochs")
    training.add_argument("--batch-size", type=positive, metavar="N", help="cells of a step; for xchrom, regions")
    training.add_argument("--lr", type=rate, help="learning rate")
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
    what = "genome of the regions' build, plain or bgzip; IN may hold the sequences instead (varm['dna_code'])"
    fasta(group, what)
    width = "bases read around each region (default: 1344); of tracks, around each bin, for which the split leaves gaps"
    group.add_argument("--width", type=positive, metavar="N", help=width)
    group.add_argument(
        "--split-regions",
        choices=("chromosome", "random", "blocks"),
        help="hold out whole chromosomes; groups of regions; or, of tracks, blocks (the default for nascent)",
    )
    group.add_argument(
        "--test-chromosomes", type=listed, metavar="A,B", help="the chromosomes to hold out for the test"
    )
    group.add_argument("--motifs", type=Path, metavar="MOTIFS.meme", help="motifs to count in each region")
    group.add_argument("--cells-per-batch", type=positive, metavar="N", help="cells drawn for each step (default: all)")


def _of_atacformer(group: Any) -> None:
    group.add_argument(
        "--decoder",
        help="chromosome, region_class or cross_attention (default: of small the last, with --context the first)",
    )
    group.add_argument("--eos", help="inside the sentence (default), outside or both")
    group.add_argument("--max-length", type=positive, metavar="N", help="tokens of a sentence at most (default: 5000)")
    group.add_argument(
        "--tokens-per-batch", type=positive, metavar="N", help="tokens of a step (default: that of the preset)"
    )
    group.add_argument(
        "--pretrained", type=Path, metavar="FILE", help="go on from this model; bins are matched by name"
    )
    group.add_argument("--pretrained-key", metavar="KEY", help="which model of that file, where there are several")


def _of_nascent(group: Any) -> None:
    signal(group)
    group.add_argument(
        "--target",
        type=named,
        action="append",
        metavar="NAME=X.bw",
        help="what to learn, a bigWig or peaks (BED); may be repeated",
    )
    group.add_argument("--chroms", type=listed, metavar="A,B", help="chromosomes to bin (default: all)")
    group.add_argument("--bin-size", type=positive, metavar="BP", help="(default: 50)")
    group.add_argument("--stat", choices=("mean", "mean_covered", "sum", "max"), help="of a bin (default: mean)")
    group.add_argument("--blacklist", type=Path, metavar="X.bed", help="regions whose signal is an artefact")
    group.add_argument(
        "--smooth", type=not_negative, metavar="BINS", help="smooth the targets; 0 does not (bigWigs: 10)"
    )
    group.add_argument("--block", type=positive, metavar="BP", help="length of the blocks of a split (default: 1 Mb)")
    group.add_argument("--architecture", help="transfer (default), xgboost, dense or cnn")
    group.add_argument("--window", type=odd, metavar="BINS", help="read around a bin, an odd number of bins")
