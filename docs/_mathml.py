"""Mathematics as MathML, made when the pages are built: browsers draw it without a script or network."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.util import logging

_NUMBERED = re.compile(r"\\(label|tag)\{[^}]*\}|\\nonumber")


def to_mathml(latex: str, *, block: bool) -> str:
    """Return an equation as MathML; several lines that are aligned at & stand under each other."""
    text = _NUMBERED.sub("", latex).strip().replace(r"\_", "_").replace(r"\arg", r"\operatorname{arg}")
    if block and (r"\\" in text or "&" in text) and r"\begin" not in text:
        text = rf"\begin{{aligned}}{text}\end{{aligned}}"
    return convert(text, display="block" if block else "inline")


def _inline(self: Any, node: nodes.math) -> None:
    self.body.append(_drawn(node, block=False))
    raise nodes.SkipNode


def _block(self: Any, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math" style="overflow-x: auto">{_drawn(node, block=True)}</div>\n')
    raise nodes.SkipNode


def _drawn(node: Any, *, block: bool) -> str:
    try:
        return to_mathml(node.astext(), block=block)
    except Exception as error:  # noqa: BLE001  # whatever the library raises, the page is named and -W stops the build
        logging.getLogger(__name__).warning("equation not drawn (%s): %s", error, node.astext(), location=node)
        return ""


def setup(app: Any) -> dict[str, bool]:
    """Register the renderer."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
