"""Names in a message: some of those that there are, and the one that someone meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(asked: object, known: Iterable[object]) -> str | None:
    """Return the one of `known` that is most like `asked`, whatever the case of its letters; None where none is.

    Examples
    --------
    >>> from chromatell._nearest import nearest
    >>> nearest("Celltype", ["batch", "cell_type"])
    'cell_type'
    """
    names = [str(name) for name in known]
    folded = {name.casefold(): name for name in reversed(names)}  # of two that fold alike, the first
    matches = difflib.get_close_matches(str(asked).casefold(), folded, 1)
    return folded[matches[0]] if matches else None


_OF_SCVI = "_scvi_"  # columns that scvi-tools keeps for itself


# what scanpy, scikit-learn, Lightning and others call a keyword -> what the package may call it
_ELSEWHERE = {
    "n_top_genes": ("n_genes",),
    "n_top_features": ("n_regions",),
    "n_features": ("n_regions", "n_genes"),
    "test_size": ("fractions",),
    "train_size": ("fractions",),
    "random_state": ("seed",),
    "random_seed": ("seed",),
    "learning_rate": ("lr",),
    "epochs": ("max_epochs",),
    "n_epochs": ("max_epochs",),
    "num_epochs": ("max_epochs",),
    "use_gpu": ("accelerator",),
    "device": ("accelerator",),
    "gpus": ("accelerator",),
    "n_neighbors": ("k",),
    "n_comps": ("n_components", "n_pcs"),
    "use_rep": ("embedding",),
    "cluster_key": ("groupby", "labels"),
    "obs_key": ("groupby", "labels"),
    "groupby": ("labels", "by"),
    "cell_type_key": ("labels", "groupby", "by"),
    "labels_key": ("labels", "groupby", "by"),
    "groups": ("groupby",),
    "metrics": ("views",),
    "metric": ("views",),
    "key": ("key_added",),
    "name": ("key_added",),
    "inplace": ("copy",),
    "use_raw": ("layer",),
    "adata": ("mdata", "data"),
    "stratify": ("by",),
    "palette": ("cmap",),
    "color_map": ("cmap",),
    "filename": ("path", "out", "save"),
    "savefig": ("save",),
    "figsize": ("ax",),
    "output": ("out",),
    "genome": ("chrom_sizes", "fasta"),
    "bin_width": ("bin_size",),
    "resolution": ("bin_size",),
}

# what a keyword says elsewhere and a setting of the session says here
_SETTINGS = {
    "verbose": "ctl.settings.verbosity = 2",
    "verbosity": "ctl.settings.verbosity = 2",
    "progress_bar": "ctl.settings.verbosity = 2",
    "n_jobs": "ctl.settings.n_jobs = 2",
    "n_cpus": "ctl.settings.n_jobs = 2",
    "random_state": "ctl.settings.seed = 0",
    "seed": "ctl.settings.seed = 0",
    "dpi": "matplotlib.rcParams['savefig.dpi'] = 300",
}


# what is said in another way here
_ELSEHOW = {
    "model_kwargs": "Options of the network are keywords of the call itself, such as n_hidden=64.",
    "plan_kwargs": "Options of the training are train_kwargs=dict(lr=1e-3).",
    "fasta": "DNA is read by ctl.tl.xchrom(mdata), after ctl.pp.add_sequence(mdata, 'genome.fa').",
}


def nearest_keyword(asked: str, known: Iterable[str]) -> str | None:
    """Return the keyword of `known` that `asked` is elsewhere, or is most like; None where none is.

    Examples
    --------
    >>> from chromatell._nearest import nearest_keyword
    >>> nearest_keyword("learning_rate", ["lr", "warmup"])
    'lr'
    """
    known = list(known)
    if asked in _ELSEHOW and asked not in known:
        return None
    of_peers = [name for name in _ELSEWHERE.get(asked, ()) if name in known]
    if asked in _ELSEWHERE and not of_peers:  # it has a meaning, which is not to be had here: no guess
        return next((name for name in known if name in (f"{asked}s", asked.removesuffix("s"))), None)
    return of_peers[0] if of_peers else nearest(asked, known)


def keyword_meant(asked: str, known: Iterable[str], form: str = "{!r}") -> str:
    """Return a sentence for the end of a message about an unknown keyword, with a blank before it; '' where none helps.

    It names the keyword of `known` that was meant, in this `form`, or what says the same for the whole session.

    Examples
    --------
    >>> from chromatell._nearest import keyword_meant
    >>> keyword_meant("learning_rate", ["lr", "warmup"])
    " Did you mean 'lr'?"
    >>> keyword_meant("n_jobs", ["lr"])
    ' It is said once for all calls: ctl.settings.n_jobs = 2.'
    """
    known = list(known)
    if asked in _ELSEHOW and asked not in known:
        return f" {_ELSEHOW[asked]}"
    if asked in _SETTINGS and not any(name in known for name in (asked, *_ELSEWHERE.get(asked, ()))):
        return f" It is said once for all calls: {_SETTINGS[asked]}."
    name = nearest_keyword(asked, known)
    return f" Did you mean {form.format(name)}?" if name is not None else ""


def examples(values: Iterable[object], n: int = 3) -> str:
    """Return the first few values, quoted, for a message."""
    values = list(values)
    shown = ", ".join(repr(str(v)) for v in values[:n])
    return shown + (", ..." if len(values) > n else "")


def did_you_mean(asked: object, known: Iterable[object]) -> str:
    """Return a sentence for the end of a message, with a blank before it; '' where no name is near."""
    name = nearest(asked, known)
    return f" Did you mean {name!r}?" if name is not None else ""


def names_there(names: Iterable[object], asked: object, n: int = 12, guesses: Iterable[str] | None = None) -> str:
    """Return the first `n` names, quoted, for a message, and the one that is nearest to `asked`; 'none' of none.

    Where a list was asked for, its first counts. Where `guesses` are given, only they may be what was meant.

    Examples
    --------
    >>> from chromatell._nearest import names_there
    >>> names_there(["batch", "cell_type"], "Celltype")
    "'batch', 'cell_type' (did you mean 'cell_type'?)"
    """
    names = [name for name in map(str, names) if not name.startswith(_OF_SCVI)]
    if not names:
        return "none"
    likely = names if guesses is None else list(guesses)
    meant = nearest(next(iter(asked), "") if isinstance(asked, list) else asked, likely)
    return examples(names, n) + (f" (did you mean {meant!r}?)" if meant is not None else "")
