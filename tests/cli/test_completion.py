"""Shell completion: the script of bash completes in bash, those of zsh and fish hold every option."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from chromatell.cli import main


@pytest.fixture
def script(capsys):
    def of(shell: str) -> str:
        assert main(["completion", shell]) == 0
        return capsys.readouterr().out

    return of


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(
    ("words", "expected", "absent"),
    [
        (["tr"], {"train"}, {"predict"}),
        (["train", "--n-"], {"--n-genes", "--n-regions"}, {"--csv"}),
        (["train", "--family", ""], {"dense", "xchrom", "atacformer", "nascent"}, {"--lr"}),
        (["completion", ""], {"bash", "zsh", "fish"}, {"train"}),
        (["evaluate", "--split", "t"], {"test", "train"}, {"val"}),
    ],
)
def test_bash_completes(words, expected, absent, script):
    line = f"COMP_WORDS=(chromatell {' '.join(repr(w) for w in words)}); COMP_CWORD={len(words)}; _chromatell\n"
    run = subprocess.run(
        ["bash", "--norc", "-c", script("bash") + line + 'printf "%s\\n" "${COMPREPLY[@]}"'],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stderr == ""
    found = set(run.stdout.split())
    assert expected <= found
    assert not absent & found


def test_zsh_and_fish_hold_every_command_and_option(script):
    zsh, fish = script("zsh"), script("fish")
    assert "bashcompinit" in zsh
    for command in ("train", "variant", "completion"):
        assert f"__fish_seen_subcommand_from {command}'" in fish
        assert f"{command})" in zsh
    assert "-l print-config" in fish
    assert "--print-config" in zsh
    for shell, text in (("zsh", zsh), ("fish", fish)):
        if shutil.which(shell):
            assert subprocess.run([shell, "-n", "-c", text], capture_output=True, check=False).returncode == 0
