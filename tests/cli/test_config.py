"""``--config`` and ``--print-config``: a file of options is the same call, and the command line goes before it."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest

import chromatell as ctl
from chromatell.cli import main
from chromatell.cli._config import with_config
from chromatell.cli._parser import build_parser

TRACKS = ["train", "-o", "x.zarr", "--family", "nascent", "--plus", "p.bw", "--minus", "m.bw"]
CALLS = [
    ["train", "a b.h5mu", "-o", "out.h5mu", "--fractions", "0.6", "0.2", "0.2", "--lr", "0.001", "--covariates", "a,b"],
    [
        "train",
        "in.h5mu",
        "-o",
        "out.h5mu",
        "--family",
        "xchrom",
        "--no-region-effect",
        "--test-chromosomes",
        "chr1,chr2",
    ],
    [*TRACKS, "--target", "A=a.bw", "--target", "B=b.bw", "--smooth", "0"],
    ["evaluate", "in.h5mu", "--csv", "-", "--views", "overall", "-v", "-v"],
    ["evaluate", "in.h5mu", "--layer", "rna=counts,atac=peak counts"],
    ["evaluate", "in.zarr", "--threshold", "a=2,b.c=1.5", "--resolutions", "50,100", "--within", "chr1:0-9,chr1:20-40"],
    ["bin", "f.tsv.gz", "-o", "b.h5ad", "--chrom-sizes", "hg38", "--keep-empty"],
    ["report", "in.h5mu", "-o", "r.html", "--title", 'A "title" \\ with\ttab'],
]


def parsed(words) -> dict:
    return vars(with_config(build_parser(), [str(w) for w in words]))


@pytest.mark.parametrize("words", CALLS, ids=[c[0] + str(i) for i, c in enumerate(CALLS)])
def test_what_is_printed_is_the_same_call(words, tmp_path, capsys):
    assert main([*words, "--print-config"]) == 0
    text = capsys.readouterr().out
    file = tmp_path / "run.toml"
    file.write_text(text)
    assert tomllib.loads(text)["command"] == words[0]
    again = parsed([words[0], "--config", file])
    said = parsed(words)
    assert again.pop("config") == file
    assert said.pop("config") is None
    if "seed" in said:
        assert again.pop("seed") == (said.pop("seed") or 0)
    assert again == said
    assert main([words[0], "--config", str(file), "--print-config"]) == 0
    assert capsys.readouterr().out == text
    assert [p.name for p in tmp_path.iterdir()] == ["run.toml"]


def test_the_command_line_goes_before_the_file(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text(
        'input = "in.zarr"\noutput = "a.zarr"\nfamily = "nascent"\ntarget = {A = "a.bw", B = "b.bw"}\nsmooth = 3\n'
    )
    args = parsed(["train", "--config", file])
    assert [n for n, _ in args["target"]] == ["A", "B"]
    assert (args["family"], args["smooth"], str(args["input"])) == ("nascent", 3.0, "in.zarr")
    args = parsed(["train", "other.h5mu", f"--config={file}", "--family", "dense", "--target", "C=c.bw"])
    assert [n for n, _ in args["target"]] == ["C"]
    assert (args["family"], str(args["input"]), str(args["output"])) == ("dense", "other.h5mu", "a.zarr")


def test_a_run_from_a_file_gives_the_same_weights(cells, tmp_path, capsys):
    words = ["train", str(cells), "-o", str(tmp_path / "a.h5mu"), "--max-epochs", "1", "--seed", "4", "-qq"]
    assert main([*words, "--print-config"]) == 0
    (tmp_path / "run.toml").write_text(capsys.readouterr().out)
    assert main(words) == 0
    assert main(["train", "--config", str(tmp_path / "run.toml"), "-o", str(tmp_path / "b.h5mu")]) == 0
    first, second = (ctl.io.read(tmp_path / name).mod["atac_pred"].X for name in ("a.h5mu", "b.h5mu"))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_epoch = 3", "Did you mean 'max_epochs'?"),
        ('command = "evaluate"', "is of 'chromatell evaluate', and this is 'chromatell train'"),
        ("max_epochs = ", "is not TOML"),
        ("max_epochs = true", "must be text, a number"),
        ("overwrite = 1", "must be true or false"),
        ('input = "a.h5mu"', "Neither"),
        ("\x00", "is not TOML"),
    ],
)
def test_a_file_that_cannot_be_used_is_exit_code_2(text, message, tmp_path, refused):
    (tmp_path / "run.toml").write_text(text)
    assert message in refused(["train", "--config", tmp_path / "run.toml"], 2)


def test_no_such_file_and_a_value_that_the_option_refuses(tmp_path, refused, capsys):
    assert "is not there" in refused(["train", "--config", tmp_path / "absent.toml"], 2)
    assert "is a folder" in refused(["train", "--config", tmp_path], 2)
    (tmp_path / "run.toml").write_text('input = "a.h5mu"\noutput = "b.h5mu"\nmax_epochs = 0\n')
    assert main(["train", "--config", str(tmp_path / "run.toml")]) == 2
    assert "'0' is not a whole number from 1" in capsys.readouterr().err
