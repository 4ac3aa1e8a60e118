"""A new family touches its folder, ``tl/_<family>.py`` and a line in two lists; where else it is named is said."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import chromatell as ctl
from chromatell.models import FAMILIES

SOURCE = Path(ctl.__file__).parent
# file -> which families it names, and why
KNOWN = {
    "models/__init__.py": set(FAMILIES),  # the list
    "tl/__init__.py": set(FAMILIES),  # the list
    "cli/_demo.py": {"dense"},  # what the demo shows
    "cli/_choices.py": set(FAMILIES),  # names of options, checked before the libraries are loaded
    "cli/_parser_train.py": set(FAMILIES),  # options that one family alone has
    "cli/_signatures.py": set(FAMILIES),  # the calls that options are read from
    "cli/_texts.py": {"xchrom", "nascent"},  # texts of options
    "io/_migrate.py": {"dense", "xchrom", "nascent"},  # what older records meant
    "cli/_train.py": set(FAMILIES),
    "cli/_train_bins.py": {"atacformer"},
    "cli/_train_tracks.py": {"nascent"},
    "tl/_predict.py": {"dense"},  # asked for other regions, carries over those it knows
    "tl/_predict_tracks.py": {"nascent"},  # the one that reads tracks
    "models/baselines/tracks.py": {"nascent"},  # baselines read the signal as the model does
    "tl/_shuffled_tracks.py": {"nascent"},
    **{f"tl/_{name}.py": {"dense"} for name in ("rank_regions", "link_regions", "uncertainty")},  # default key
    "tl/_sequences.py": {"xchrom"},  # which regions were asked for
    **{f"tl/_{name}.py": {"xchrom"} for name in ("attribute", "ism", "tf_activity", "variant_effect")},  # default key
    "tl/_perturb.py": {"dense", "xchrom", "atacformer"},  # default key; which have an embedding of cells
    **{f"cli/_{name}.py": {"xchrom"} for name in ("ism", "variant")},  # default key
    "datasets/_tutorial.py": {"nascent"},  # the name of a tutorial
    "nn/dna_models.py": {"xchrom"},  # its tower as an embedding of DNA
    "pp/_embed_sequence.py": {"xchrom"},
}


def is_own(path: str, family: str) -> bool:
    return path.startswith(f"models/{family}/") or path == f"tl/_{family}.py"


def named(file: str) -> set[str]:
    """Families that a file names: a string, an attribute or an imported module; in families' own files imports."""
    found = set()
    own = any(is_own(file, family) for family in FAMILIES)  # where 'dense' may be an option
    for node in ast.walk(ast.parse((SOURCE / file).read_text("utf-8"))):
        if own and not isinstance(node, ast.ImportFrom):
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= {node.value}
        elif isinstance(node, ast.Attribute):
            found |= {node.attr}
        elif isinstance(node, ast.ImportFrom):
            found |= {part.strip("_") for part in (node.module or "").split(".")}
    return found & set(FAMILIES)


FILES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_a_family_is_named_only_where_this_list_says(family):
    elsewhere = [f for f in FILES if not is_own(f, family) and family in named(f)]
    assert [f for f in elsewhere if family not in KNOWN.get(f, set())] == []
    assert family in ctl.tl.__all__


def test_the_list_names_no_file_that_is_gone():
    assert set(KNOWN) - set(FILES) == set()
