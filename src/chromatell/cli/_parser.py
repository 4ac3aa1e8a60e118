"""The arguments of every command. Nothing here loads torch or scvi-tools: ``--help`` must be fast."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

from chromatell._nearest import did_you_mean, nearest_keyword
from chromatell.cli import _parser_train, _texts
from chromatell.cli._options import (
    depth,
    fasta,
    files,
    natural,
    positive,
    predictions_store,
    seed,
    share,
    signal,
    table,
)
from chromatell.cli._signatures import add_keywords, keywords, listed, option_names

_CHOICE = re.compile(r"invalid choice: '(.*?)' \(choose from (.*)\)")


class UsageError(Exception):
    """The call itself is wrong, whatever the files hold."""


class Parser(argparse.ArgumentParser):
    """A parser that raises `UsageError` where argparse prints the usage, 34 lines of ``train``, and exits."""

    def error(self, message: str) -> NoReturn:
        """Raise what argparse found wrong, and say where the help stands."""
        meant = ""
        if choice := _CHOICE.search(message):  # Python 3.12 and later leave out the quotes of what there is
            meant = did_you_mean(choice[1], [one.strip(" '") for one in choice[2].split(",")])
        if "expected 3 arguments" in message:
            meant = " Divide them by blanks: --fractions 0.7 0.1 0.2."
        raise UsageError(f"{message[:1].upper()}{message[1:]}.{meant} See: {self.prog} --help")

    def parse_whole(self, argv: Sequence[str]) -> argparse.Namespace:
        """Return the arguments of a call; an unknown command or option is named with the one that is nearest."""
        commands = commands_of(self)
        first = next(iter(argv), "")
        if first and not first.startswith("-") and first not in commands:
            meant = did_you_mean(first, commands) or f" Commands: {', '.join(commands)}."
            raise UsageError(f"There is no command {first!r}.{meant} See: {self.prog} --help")
        args, unknown = self.parse_known_args(argv)
        if unknown:
            own = commands.get(args.command, self)
            options = [option for action in own._actions for option in action.option_strings]
            word = next((w for w in unknown if w.startswith("-")), unknown[0])
            meant = _meant(word.partition("=")[0], options) if word.startswith("-") else ""
            if word.partition("=")[0] in options:
                raise UsageError(f"{word!r} stands before the command; options follow it: {own.prog} {word} ...")
            what = "option" if word.startswith("-") else "further argument"
            raise UsageError(f"{own.prog!r} takes no {what} {word!r}.{meant} See: {own.prog} --help")
        return args


def _meant(option: str, options: Sequence[str]) -> str:
    """Return the option that was meant, also where it is that of another library; '' where none is near."""
    names = {one.lstrip("-").replace("-", "_"): one for one in options}
    near = nearest_keyword(option.lstrip("-").replace("-", "_"), names)
    return f" Did you mean {names[near]!r}?" if near is not None else ""


def commands_of(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of the commands by name."""
    return next(dict(a.choices) for a in parser._actions if isinstance(a, argparse._SubParsersAction))


def build_parser() -> Parser:
    """Return the parser; ``args.command`` is None where no command was given."""
    parser = Parser(
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
        (
            "train",
            "data in, data with model and predictions out",
            _texts.TRAIN,
            _texts.TRAIN_EPILOG,
            _parser_train.add_arguments,
        ),
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
        "--min-fragments", type=natural, metavar="N", help="of a cell, without --barcodes (default: 1000)"
    )
    bins = parser.add_argument_group("bins")
    bins.add_argument(
        "--chrom-sizes", metavar="BUILD", help="hg19, hg38, hs1, mm9, mm10, mm39, or a chrom.sizes file; needed"
    )
    bins.add_argument("--bin-size", "--size", type=positive, metavar="BP", help="(default: 5000)")
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


def _predict(parser: argparse.ArgumentParser) -> None:
    what = "cells with expression, or for atacformer open bins: .h5ad, .h5mu or .zarr; or a store of tracks: .zarr"
    files(parser, "QUERY", what, needs_output=False, needs_input=False)
    parser.add_argument("--model", type=Path, required=True, help=".h5mu, .h5ad, .zarr or exported model")
    parser.add_argument("--key", help="which model, where there are several")
    parser.add_argument(
        "--regions",
        type=Path,
        metavar="REGIONS.bed",
        help="the regions to predict: a BED file, or names joined by commas, such as chr1:100-600 (default: those of "
        "the model); a model that reads DNA predicts any, another those that overlap its own",
    )
    fasta(parser, "genome of the regions that the model does not hold")
    depth(parser)
    tracks = parser.add_argument_group("for a model that reads tracks", "In place of QUERY: bigWigs.")
    signal(tracks)
    tracks.add_argument("--chroms", type=listed, metavar="A,B", help="chromosomes to predict (default: all)")
    tracks.add_argument(
        "--bigwig", type=Path, metavar="DIR", help="write a bigWig of each predicted target into this folder"
    )
    predictions_store(parser, "--out-store", "--predictions")
    add_keywords(parser, keywords("tl.predict").values(), option_names(parser))


def _evaluate(parser: argparse.ArgumentParser) -> None:
    what = "cells with predictions: .h5mu or .zarr; cells x bins with a model that reads them: .h5ad; or tracks: .zarr"
    files(parser, "IN", what, needs_output=False)
    table(parser, "write every score to this table; - is stdout, in place of the leaderboard")
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
        type=share,
        metavar="SHARE",
        help="of completion: the share of each cell's open bins that is taken out and asked for (default: 0.2)",
    )
    parser.add_argument(
        "--n-bootstrap",
        type=natural,
        default=200,
        metavar="N",
        help="replicates behind the intervals; 0 for none (default: 200)",
    )
    seed(parser)
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
        help="VCF, plain or gzip, a table (chrom, pos, ref, alt), or names joined by commas, such as chr1-2250-C-G",
    )
    null = "random variants beside them (default: 1000); 0 for none"
    parser.add_argument("--n-null", type=natural, metavar="N", help=null)
    seed(parser)
    add_keywords(parser, keywords("tl.variant_effect").values(), option_names(parser))


def _ism(parser: argparse.ArgumentParser) -> None:
    _with_sequence(parser)
    parser.add_argument(
        "--regions", required=True, metavar="A,B", help="names of regions, joined by commas, or a .bed (with --fasta)"
    )
    parser.add_argument("--window", type=positive, metavar="BP", help="bases about the middle (default: 200)")
    add_keywords(parser, keywords("tl.ism").values(), option_names(parser))


def _with_sequence(parser: argparse.ArgumentParser, *groupby: str) -> None:
    what = "cells with expression, regions, and an XChrom model unless --model names one: .h5mu or .zarr"
    files(parser, "IN", what, needs_output=False)
    table(parser, "write the effects to this table; - is stdout")
    parser.add_argument("--model", type=Path, help="another file or exported model, in place of that in IN")
    parser.add_argument("--key", help="which model (default: xchrom)")
    fasta(parser, "genome, where IN holds no sequences")
    parser.add_argument(
        "--groupby",
        *groupby,
        default="cell_type",
        metavar="COLUMN",
        help="column of obs with groups of cells, or none (default: cell_type)",
    )


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="which shell")
