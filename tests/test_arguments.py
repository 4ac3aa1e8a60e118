"""Types of arguments: what an annotation does not name is refused by every public function, before all else."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import chromatell as ctl
from chromatell._arguments import arguments

# An annotation as it is written, values that it lets through, and values that it does not.
CASES = {
    "bool": ([True, np.True_], ["yes", 1, None]),
    "bool | None": ([False, None], ["yes", 0]),
    "int": ([3, np.int64(3), 1e6], ["3", True, None, [3]]),
    "int | None": ([3, None], ["3", False]),
    "float": ([3, 0.5, np.float32(0.5), float("nan")], ["0.5", True, None, [0.5]]),
    "float | None": ([0.5, None], ["0.5", [0.5]]),
    "str": (["a", np.str_("a")], [3, None, ["a"], Path("a")]),
    "str | None": (["a", None], [3, ["a"]]),
    "str | Path": (["a", Path("a")], [3, None, ["a"]]),
    "str | Path | None": (["a", Path("a"), None], [3, ["a"]]),
    "str | os.PathLike[str]": (["a", Path("a")], [3, None, ["a"]]),
    "str | os.PathLike[str] | None": (["a", None], [3, ["a"]]),
    "Sequence[str]": (["a", ["a"], ("a",), pd.Index(["a"]), np.array(["a"])], [3, None]),
    "Sequence[str] | None": ([["a"], None], [3, True]),
    "str | Sequence[str] | None": (["a", ["a"], None], [3, True]),
    "Iterable[str] | None": ([iter(["a"]), {"a"}, None], [3]),
    "Sequence[float]": ([[0.5], (1, 2), np.ones(2)], [3, 0.5, "a"]),
}
NAMESPACES = ("pp", "tl", "pl", "get", "io", "datasets")
FUNCTIONS = {
    f"{ns}.{name}": function
    for ns in NAMESPACES
    for name in getattr(ctl, ns).__all__
    if inspect.isfunction(function := getattr(getattr(ctl, ns), name))
}


@pytest.mark.parametrize("annotation", CASES)
def test_values_that_an_annotation_names(annotation):
    def function(value):
        return value

    function.__annotations__["value"] = annotation
    function.__globals__.update({"Any": __import__("typing").Any, "os": __import__("os")})
    function.__globals__.update({n: getattr(__import__("collections.abc").abc, n) for n in ("Sequence", "Iterable")})
    right, wrong = CASES[annotation]
    checked = arguments(function)
    for value in right:
        assert checked(value) is value
    for value in wrong:
        with pytest.raises(ctl.ChromatellError, match=r"^value=.* is of type \w+; .* needed\."):
            checked(value)


def test_the_message_says_what_is_needed_and_what_is_usual():
    def function(
        out: str | Path | None = None,
        names: str | list[str] = "all",
        *,
        sure: bool | None = None,
        n: float = 0.5,
        by: str | None = None,
    ): ...

    for given, message in (
        ({"out": 3}, "out=3 is of type int; a path or None is needed. Left out, it is None."),
        ({"names": 3}, "names=3 is of type int; text or a list of names is needed. Left out, it is 'all'."),
        ({"sure": "no"}, "sure='no' is of type str; True, False or None is needed. Left out, it is None."),
        (
            {"by": ["a", "b"]},
            "by=['a', 'b'] is of type list; text or None is needed. Join several columns to one: "
            "mdata.obs['both'] = mdata.obs['a'].astype(str) + '_' + mdata.obs['b'].astype(str); "
            "then by='both'.",
        ),
        ({"by": ["a"]}, "by=['a'] is of type list; text or None is needed. Name one column: by='a'."),
        ({"n": "1"}, "n='1' is of type str; a number is needed. Left out, it is 0.5."),
        ({"n": "1" * 99}, f"n='{'1' * 59}... is of type str; a number is needed. Left out, it is 0.5."),
    ):
        with pytest.raises(ctl.ChromatellError) as raised:
            arguments(function)(**given)
        assert str(raised.value) == message


@pytest.mark.parametrize(
    ("call", "needed"),
    [
        (
            lambda: ctl.pp.split_cells("a.h5mu"),
            "mdata='a.h5mu' is a path; an open MuData or AnnData is needed: mdata = ",
        ),
        (lambda: ctl.tl.dense(Path("a.h5mu")), "an open MuData is needed: mdata = ctl.io.read('a.h5mu')."),
        (lambda: ctl.tl.nascent("a.zarr"), "needed: tracks = ctl.data.BinnedTracks.open('a.zarr')."),
        (lambda: ctl.models.Dense("a.h5mu"), "an open MuData is needed: mdata = ctl.io.read('a.h5mu')."),
    ],
)
def test_a_path_in_place_of_what_it_holds_is_told(call, needed):
    with pytest.raises(ctl.ChromatellError, match=re.escape(needed)):
        call()


def test_a_call_that_python_refuses_is_refused_by_python():
    with pytest.raises(TypeError, match="unexpected keyword argument 'nope'"):
        ctl.pp.bin_genome("fragments.tsv.gz", nope=3)
    with pytest.raises(TypeError, match=r"region\(\) got an unexpected keyword argument 'nope'"):
        ctl.pl.region(None, "chr1:0-9", nope=3)
    with pytest.raises(TypeError, match=r"calibration\(\) missing 1 required positional argument: 'mdata'"):
        ctl.pl.calibration()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_refuses_another_type_first(name):
    function = FUNCTIONS[name]
    parameters = inspect.signature(function).parameters.values()
    open_or_path = {True: object(), False: "x"}  # text in place of MuData would be taken for its path
    needed = {
        p.name: open_or_path[any(kind in str(p.annotation) for kind in ("MuData", "AnnData", "Tracks"))]
        for p in parameters
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    needed |= {p.name: {} for p in parameters if p.name in needed and "Mapping" in str(p.annotation)}
    needed |= {p.name: CASES[p.annotation][0][0] for p in parameters if p.name in needed and p.annotation in CASES}
    for p in parameters:
        if p.annotation not in CASES:
            continue
        for value in CASES[p.annotation][1]:
            with pytest.raises(ctl.ChromatellError, match=rf"^{p.name}="):
                function(**{**needed, p.name: value})


@pytest.mark.parametrize("verb", [ctl.models.Dense, ctl.models.XChrom, ctl.models.AtacFormer, ctl.models.Nascent])
def test_a_model_refuses_another_type_first(verb):
    flags = {"Dense": "linked_genes", "XChrom": "stack", "AtacFormer": "label_balance", "Nascent": "preset"}
    with pytest.raises(ctl.ChromatellError, match=f"{flags[verb.__name__]}=.* is of type list"):
        verb(None, **{flags[verb.__name__]: [1, 2]})
    with pytest.raises(ctl.ChromatellError, match=r"stack='no' is of type str; True, False or None is needed"):
        ctl.models.Dense(None, stack="no")
