"""``chromatell train --family atacformer``: cells as sentences of open bins, with or without expression."""

from __future__ import annotations

import argparse
from shlex import quote
from typing import TYPE_CHECKING, Any

from chromatell._keys import RNA
from chromatell._settings import settings
from chromatell.cli._console import libraries_to_stderr, output
from chromatell.cli._files import UsageError, check_data, check_output, check_there, write
from chromatell.cli._prepare import given, model_options, select, split

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

_FEATURES = ("n_genes", "n_regions", "min_open")


def run(args: argparse.Namespace) -> None:
    """Split and select where needed, train, write; with a context also predict."""
    _check(args)
    key = args.key or args.family

    from mudata import MuData

    from chromatell import io, tl

    data = io.read(args.input)
    _check_kind(data, args)
    split(data, args)
    if isinstance(data, MuData):
        select(data, args)
    options = given(args, "eos") | model_options(args)
    if args.pretrained is not None:
        options["pretrained"] = _pretrained(args)
    with libraries_to_stderr():
        tl.atacformer(data, train_kwargs=given(args, "max_epochs", "lr", "accelerator", "checkpoint_dir"), **options)
    write(data, args.output)
    if settings.verbosity:
        output().print("\n".join(_next(data, key, args)), soft_wrap=True, markup=False)


def _check(args: argparse.Namespace) -> None:
    """Raise, before anything is read, where the call could not end well."""
    if args.input is None:
        raise UsageError("Name a file of cells x bins, IN.")
    bins_only = args.input.suffix == ".h5ad"
    if args.predictions is not None and args.context is None:
        raise UsageError("--predictions is for what is predicted from a context. Name one: --context X_pca.")
    suffixes = (".h5ad" if bins_only else ".h5mu", ".zarr")
    how = {"suffixes": suffixes, "store": args.predictions, "model": args.pretrained}
    check_output(args.output, [args.input], overwrite=args.overwrite, **how)
    if args.pretrained is not None and not args.pretrained.is_dir():
        check_there(args.pretrained, "model of --pretrained")
    if args.pretrained_key is not None and args.pretrained is None:
        raise UsageError("--pretrained-key names one of several models in a file. Name the file: --pretrained FILE.")
    check_data(args.input)


def _check_kind(data: AnnData | MuData, args: argparse.Namespace) -> None:
    """Raise where the options or the output are not for what the input turned out to be."""
    from mudata import MuData

    if isinstance(data, MuData):
        return
    if args.output.suffix == ".h5mu":
        raise UsageError(f"{args.input} holds one AnnData: the output must end in .h5ad or .zarr.")
    if named := given(args, *_FEATURES, "predictions"):
        option = next(iter(named)).replace("_", "-")
        raise UsageError(f"--{option} is of a MuData with modality 'atac'; {args.input} holds one AnnData.")


def _pretrained(args: argparse.Namespace) -> Any:
    from chromatell.models import load

    return load(args.pretrained, key=args.pretrained_key)


def _next(data: AnnData | MuData, key: str, args: argparse.Namespace) -> list[str]:
    """Return what was done and what can be done with it."""
    from mudata import MuData

    paired = isinstance(data, MuData)
    lines = [f"Wrote the cells with model {key!r}, their embedding and labels to {args.output}."]
    query = "QUERY.h5ad"
    scored = args.context is None or paired  # a context of an AnnData predicts nothing yet
    lines += [f"Score it:  chromatell evaluate {quote(str(args.output))}"] if scored else []
    if args.context is not None and paired:
        query = f"QUERY.h5ad (with {'expression' if (args.rna or RNA) in data.mod else 'the context'})"
    lines.append(f"Apply it:  chromatell predict {query} --model {quote(str(args.output))} -o PREDICTED.h5mu")
    return lines
