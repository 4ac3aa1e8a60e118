"""Sphinx configuration: ``sphinx-build -W --keep-going -b html docs docs/_build/html``."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.metadata import version as installed
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for _mathml

project = "chromatell"
author = "The chromatell developers"
copyright = "2026, The chromatell developers"
release = version = installed("chromatell")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "_mathml",
    "sphinx.ext.napoleon",
    "sphinx_design",
]
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]
intersphinx_mapping: dict[str, tuple[str, None]] = {}  # the build has no network

# Pages
html_theme = "furo"
html_math_renderer = "mathml"  # drawn by the browser itself: no script from elsewhere
html_title = f"chromatell {release}"
html_static_path = ["_static"]
html_show_sourcelink = False
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# API pages, from numpydoc docstrings; types stand in the signatures
default_role = "literal"
autosummary_generate = True
autodoc_typehints = "none"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_custom_sections = ["Returns"]  # as written: what is returned or written into the data is no parameter list

# Notebooks are kept without outputs and run with every build
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 300
nb_execution_in_temp = True
nb_output_stderr = "remove"
nb_merge_streams = True
os.environ["CI"] = "true"  # no progress bars in the pages
os.environ.setdefault("OMP_NUM_THREADS", "1")  # small batches gain nothing from more, and lose where cores are shared
os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # UMAP would leave more threads to what trains after it
os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")

(HERE / "tutorials").mkdir(exist_ok=True)
for notebook in (HERE.parent / "tutorials").glob("*.ipynb"):
    copied = HERE / "tutorials" / notebook.name
    if not copied.exists() or copied.read_bytes() != notebook.read_bytes():
        shutil.copyfile(notebook, copied)
