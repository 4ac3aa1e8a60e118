"""What all commands share: exit codes, one-line errors, help, quiet, and files that are whole at any moment."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys

import anndata as ad
import mudata as md
import pytest
from tests.helpers import file_names

import chromatell as ctl
from chromatell.cli import main
from chromatell.cli._cures import TYPED, as_typed
from chromatell.cli._parser import build_parser, commands_of

COMMANDS = ("demo", "bin", "train", "predict", "evaluate", "report", "info", "export", "variant", "ism", "completion")


def test_an_absent_file_is_one_line_and_exit_code_1(tmp_path, refused):
    absent = tmp_path / "absent.h5mu"
    for argv in (
        ["train", absent, "-o", tmp_path / "out.h5mu"],
        ["evaluate", absent],
        ["predict", absent, "--model", absent, "-o", tmp_path / "out.h5mu"],
    ):
        error = refused(argv, 1)
        assert error.startswith("Error: ")
        assert "absent.h5mu" in error
    assert file_names(tmp_path) == set()


def test_a_file_of_nearly_the_same_name_is_told(cells, query, shared, refused):
    out = cells.with_name("out.h5mu")
    for argv, near in (
        (["train", cells.with_name("cell.h5mu"), "-o", out], "h5ad or .zarr. Did you mean 'cells.h5mu'?"),
        (["predict", query.with_name("qeury.h5ad"), "--model", shared, "-o", out], "Did you mean 'query.h5ad'?"),
        (
            ["predict", query, "--model", shared.with_name("shred.h5mu"), "-o", out],
            "model. Did you mean 'shared.h5mu'?",
        ),
    ):
        assert near in refused(argv, 1)


def test_the_error_is_that_of_the_api(simulated, tmp_path, refused):
    lame = md.MuData({"rna": simulated.mod["rna"].copy(), "atac": simulated.mod["atac"][::-1].copy()})
    lame.write_h5mu(tmp_path / "in.h5mu")
    error = refused(["train", tmp_path / "in.h5mu", "-o", tmp_path / "out.h5mu"], 1)
    with pytest.raises(ctl.ChromatellError) as raised:
        ctl.pp.split_cells(ctl.io.read(tmp_path / "in.h5mu"))
    assert str(raised.value) in error
    assert file_names(tmp_path) == {"in.h5mu"}


def test_train_needs_paired_cells(query, refused):
    error = refused(["train", query, "-o", query.with_name("out.h5mu")], 1)
    assert "one AnnData; paired cells" in error
    assert file_names(query.parent) == {"query.h5ad"}


def test_a_truncated_file_a_wrong_key_and_too_few_genes(shared, query, tmp_path, refused):
    cut = tmp_path / "cut.h5mu"
    cut.write_bytes(shared.read_bytes()[:4000])
    out = tmp_path / "out.h5mu"
    assert "cut" in refused(["evaluate", cut, "-o", out], 1)
    assert "'dense'" in refused(["predict", query, "--model", shared, "--key", "other", "-o", out], 1)
    few = ad.read_h5ad(query)[:, :5].copy()
    few.write_h5ad(query)
    assert "genes" in refused(["predict", query, "--model", shared, "-o", out], 1)
    assert "atac_pred" in refused(["evaluate", shared.with_name("cells.h5mu"), "-o", out], 1)
    assert file_names(tmp_path) == {"cut.h5mu", "query.h5ad"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "IN", "-o", "IN"], "is an input too"),
        (["train", "IN", "-o", "out.txt"], "must end in .h5mu or .zarr"),
        (["train", "IN", "-o", "nowhere/out.h5mu"], "does not exist"),
        (["train", "IN", "-o", "out.h5mu", "--predictions", "values.h5"], "must end in .zarr"),
        (["train", "IN", "-o", "out.h5mu", "--predictions", "deep/values.zarr"], "in the folder of the output"),
        (["train", "IN", "-o", "out.h5mu", "--predictions", "there.zarr"], "is there already"),
        (["train", "IN", "-o", "folder.h5mu"], "is a folder"),
        (["train", "IN", "-o", "out.h5mu", "--fasta", "genome.fa"], "--fasta is for --family xchrom"),
        (["train", "IN", "-o", "out.h5mu", "--region-effect"], "--region-effect is for --family xchrom"),
        (["train", "IN", "-o", "out.h5mu", "--family", "xchrom", "--loss", "bce"], "--loss is for --family dense"),
        (["train", "IN", "-o", "out.h5mu", "--family", "xchrom", "--width", "640"], "Name it: --fasta GENOME.fa"),
        (
            ["train", "IN", "-o", "out.h5mu", "--family", "xchrom", "--split-regions", "random"]
            + ["--test-chromosomes", "chr1"],
            "leave out --split-regions random",
        ),
        (["predict", "IN", "--model", "IN", "-o", "out.h5mu", "--fasta", "genome.fa"], "Name them: --regions"),
        (["evaluate", "IN", "-o", "IN"], "is an input too"),
        (["evaluate", "IN", "--csv", "scores.tsv"], "must end in .csv"),
    ],
)
def test_a_mistake_in_the_call_is_exit_code_2(words, message, cells, refused, monkeypatch):
    monkeypatch.chdir(cells.parent)
    (cells.parent / "folder.h5mu").mkdir()
    (cells.parent / "there.zarr").mkdir()
    before = file_names(cells.parent), cells.read_bytes()
    error = refused([str(cells) if word == "IN" else word for word in words], 2)
    assert message in error
    assert f"chromatell {words[0]} --help" in error
    assert (file_names(cells.parent), cells.read_bytes()) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train"], "required: -o/--output. See: chromatell train --help"),
        (["train", "a.h5mu"], "required: -o/--output"),
        (["nonsense"], "There is no command 'nonsense'. Commands: demo, bin, train, "),
        (["trian", "a.h5mu"], "There is no command 'trian'. Did you mean 'train'?"),
        (["--verison"], "'chromatell' takes no option '--verison'. Did you mean '--version'?"),
        (
            ["train", "a.h5mu", "-o", "b.h5mu", "--max_epochs=3"],
            "no option '--max_epochs=3'. Did you mean '--max-epochs'?",
        ),
        (
            ["train", "a.h5mu", "-o", "b.h5mu", "--family", "densee"],
            "Did you mean 'dense'? See: chromatell train --help",
        ),
        (
            ["train", "a.h5mu", "-o", "b.h5mu", "--random-state", "3"],
            "no option '--random-state'. Did you mean '--seed'?",
        ),
        (["train", "a.h5mu", "-o", "b.h5mu", "--learning-rate", "3"], "Did you mean '--lr'?"),
        (["train", "a.h5mu", "b.h5mu", "-o", "c.h5mu"], "'chromatell train' takes no further argument 'b.h5mu'."),
        (["train", "a.h5mu", "-o", "b.h5mu", "--fractions", "1"], "Argument --fractions: expected 3 arguments."),
    ],
)
def test_a_mistake_in_the_call_is_one_line_and_exit_code_2(words, message, capsys):
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_error_names_the_command_that_mends_it(cells, tmp_path, capsys):
    """Where it names a call of Python that has its like among the commands."""
    assert main(["predict", str(cells), "--model", str(cells), "-o", str(tmp_path / "p.h5mu")]) == 1
    error = capsys.readouterr().err
    assert "Train one with ctl.tl.dense(mdata)" in error
    assert "On the command line: chromatell train PAIRED.h5mu -o TRAINED.h5mu" in error
    assert file_names(tmp_path) == {cells.name}


def test_an_error_names_the_option_for_a_keyword():
    """Where the command has one of that name; a call that has its like comes first."""
    options = commands_of(build_parser())["train"]._option_string_actions
    assert as_typed("The loss became nan. Lower it: train(lr=...), or train(gradient_clip=...).", options) == (
        "\nOn the command line: --lr"
    )
    assert as_typed("Name another: depth_key='...', or batch_key='donor'.", options).endswith(
        "--depth-key, --batch-key donor"
    )
    assert "--n-genes 5000" in as_typed("Run ctl.pp.select_features(mdata, n_genes=10), depth_key='a'.", options)
    assert as_typed("mdata.obs['a'] == 'b', x=3", options) == ""
    given = {"depth_key": "b", "batch_key": "c", "input": "a"}  # the value that a message quotes names its option
    assert as_typed("mdata.obs['a'] == 'b', x=3", options, given) == "\nOn the command line: --depth-key"


def test_commands_in_cures_parse():
    """Each is a call that the parser takes, or an option that a command has."""
    parser = build_parser()
    for typed in TYPED.values():
        if typed.startswith("the option"):
            option = typed.split()[2]
            assert any(option in p.format_help() for p in commands_of(parser).values())
        else:
            words = typed.split()[1:]
            assert parser.parse_whole(words).command == words[0]


def test_no_command_prints_the_help(capsys):
    assert main([]) == 2
    assert "chromatell demo" in capsys.readouterr().out


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_shows_what_the_exit_codes_mean(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([*command, "--help"])
    assert stopped.value.code == 0
    assert "1  the input cannot be used" in capsys.readouterr().out


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.strip() == f"chromatell {ctl.__version__}"


def test_a_write_that_fails_leaves_the_old_file(cells, shared, query, monkeypatch, refused):
    out = cells.with_name("out.h5mu")
    shutil.copy(cells, out)
    old = out.read_bytes()

    def full(sink, mdata):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(md, "write_h5mu", full)
    error = refused(["predict", query, "--model", shared, "-o", out, "--overwrite"], 1)
    assert "there is no room left on the disk" in error
    assert out.read_bytes() == old
    assert file_names(cells.parent) == {"cells.h5mu", "query.h5ad", "out.h5mu"}


def test_stopping_it_is_not_a_traceback(cells, monkeypatch, refused):
    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(ctl.tl, "dense", stopped)
    assert "Stopped" in refused(["train", cells, "-o", cells.with_name("out.h5mu")], 130)
    assert file_names(cells.parent) == {"cells.h5mu"}


def test_what_libraries_print_is_kept_from_the_results(cells, monkeypatch, refused):
    def loud(*args, **kwargs):
        print("Monitored metric did not improve")
        raise ctl.ChromatellError("stop here")

    monkeypatch.setattr(ctl.tl, "dense", loud)
    call = ["train", cells, "-o", cells.with_name("out.h5mu")]
    assert "Monitored metric" in refused(call, 1)  # which has seen that stdout is empty
    assert refused([*call, "-q"], 1) == "Error: stop here\n"


def test_own_warnings_are_one_line_and_quiet_is_quiet(simulated, shared, tmp_path, capsys):
    query, out = tmp_path / "query.h5mu", tmp_path / "out.h5mu"
    simulated[:20].copy().write_h5mu(query)
    call = ["predict", str(query), "--model", str(shared), "-o", str(out), "--depth", "observed"]
    before = ctl.settings.verbosity
    assert main(call) == 0
    assert capsys.readouterr().err.count("Warning: ") == 1
    assert main([*call, "-qq", "--overwrite"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "")
    assert ctl.settings.verbosity == before


def test_help_loads_neither_torch_nor_scvi():
    code = (
        "import sys\nfrom chromatell.cli import main\n"
        "try:\n    main(['train', '--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'numpy', 'anndata', 'torch', 'scvi', 'scanpy', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "--n-regions" in run.stdout


WRONG_NUMBERS = (
    ("bin --min-fragments -1", "whole number from 0"),
    ("bin --bin-size 0", "whole number from 1"),
    ("train --n-genes 0", "whole number from 1"),
    ("train --n-regions -5", "whole number from 1"),
    ("train --min-open 1.5", "a share"),
    ("train --min-open nan", "a share"),
    ("train --fractions 0.7 0.1 2", "a share"),
    ("train --fractions 0.5 0.1 0.1", "must sum to 1"),
    ("train --fractions 0 0.5 0.5", "leaves no cell to train on"),
    ("train --family nascent --fractions 0 0.5 0.5", "leaves no bin to train on"),
    ("train --width 0", "whole number from 1"),
    ("train --cells-per-batch 0", "whole number from 1"),
    ("train --max-length 0", "whole number from 1"),
    ("train --tokens-per-batch 1e3", "whole number from 1"),
    ("train --window 20", "odd whole number"),
    ("train --block 0", "whole number from 1"),
    ("train --smooth -1", "a number from 0"),
    ("train --smooth inf", "a number from 0"),
    ("evaluate --removed 2", "a share"),
    ("evaluate --n-bootstrap -1", "whole number from 0"),
    ("evaluate --seed -1", "whole number from 0"),
)


def test_numbers_are_checked_before_anything_is_loaded(tmp_path):
    """In a process of its own: exit code 2, one message, and no library that learns was imported."""
    script = """
import contextlib, io, json, sys
from chromatell.cli import main
from chromatell.cli._cures import TYPED
from chromatell.cli._parser import build_parser, commands_of
said = []
for words in json.loads(sys.argv[1]):
    out = io.StringIO()
    with contextlib.redirect_stderr(out):
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
    said.append([code, " ".join(out.getvalue().split())])
print(json.dumps([said, sorted({"torch", "scvi", "sklearn"} & set(sys.modules))]))
"""
    calls = []
    for words, _ in WRONG_NUMBERS:
        command, *options = words.split()
        out = [] if command == "evaluate" else ["-o", str(tmp_path / ("o.zarr" if "nascent" in options else "o.h5mu"))]
        calls.append([command, "absent.h5mu", *options, *out])
    call = [sys.executable, "-c", script, json.dumps(calls)]
    ended = subprocess.run(call, capture_output=True, text=True, check=True)
    found, loaded = json.loads(ended.stdout)
    assert loaded == []
    for (words, wanted), (code, said) in zip(WRONG_NUMBERS, found, strict=True):
        assert code == 2, words
        assert wanted in said, words
    assert file_names(tmp_path) == set()


@pytest.mark.parametrize("option", ["-o", "--csv"])
def test_a_folder_without_rights_is_told_with_the_option_that_named_it(cells, tmp_path, monkeypatch, refused, option):
    """``--csv`` in such a folder was told to name another with -o."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    out = tmp_path / ("out.csv" if option == "--csv" else "out.h5mu")
    assert f"is not writable. Name another with {option}." in refused(["evaluate", cells, option, out], 2)


@pytest.mark.parametrize("module", ["chromatell", "chromatell.cli"])
def test_the_command_runs_as_a_module(module):
    call = [sys.executable, "-m", module, "--version"]
    ended = subprocess.run(call, capture_output=True, text=True, check=True)
    assert ctl.__version__ in ended.stdout
