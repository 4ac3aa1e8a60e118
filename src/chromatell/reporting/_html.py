"""A page of HTML in one file: every text escaped, pictures inside, no script, nothing fetched."""

from __future__ import annotations

import base64
import html
import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chromatell._validate import ChromatellError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 3.4  # inches of a picture: its text is read on a phone as it is on a screen
_MAX_TEXT = 2000  # characters of one text: a name in a stranger's file may be of any length
_NUMBER = re.compile(r"([+-]?[0-9][0-9,.]*(e[+-]?[0-9]+)?)?")
# No script, no frame, nothing from outside: the page shows what is in it even where a text were taken for HTML.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_STYLE = """
:root { --ink: #1a1a1a; --soft: #595959; --line: #d9d9d9; --ground: #f6f7f9; --blue: #0060a0; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 68rem; color: var(--ink); background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; overflow-wrap: anywhere; }
p { margin: .5rem 0; max-width: 46rem; overflow-wrap: anywhere; }
a { color: var(--blue); }
nav ol { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; padding: 0; margin: .6rem 0; list-style: none; }
.soft, figcaption { color: var(--soft); font-size: .875rem; }
.note { background: var(--ground); border-left: 3px solid #e69f00; padding: .5rem .8rem; max-width: 46rem; }
.finding { background: var(--ground); border-left: 3px solid var(--blue); padding: .5rem .8rem; max-width: 46rem; }
.wide { overflow-x: auto; margin: .6rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .25rem .7rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td { overflow-wrap: break-word; max-width: 30rem; }
.facts td { overflow-wrap: anywhere; }
td.number, th.number { text-align: right; white-space: nowrap; }
th { white-space: nowrap; }
code { font-size: .85em; overflow-wrap: anywhere; }
figure { margin: .6rem 0; max-width: 36rem; break-inside: avoid; }
figure img { width: 100%; height: auto; display: block; }
.grid { display: grid; gap: 1rem 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
@media print {
  @page { margin: 15mm; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav { display: none; }
  h2, h3 { break-after: avoid; }
  tr { break-inside: avoid; }
  .wide { overflow: visible; }
  .grid { grid-template-columns: 1fr 1fr; }
}
"""


class Html(str):
    """Text that is HTML already; everything else is escaped."""

    __slots__ = ()


def tag(name: str, *parts: Any, **attributes: Any) -> Html:
    """Return an element; parts that are no `Html` are escaped, and so are attributes (``class_`` is `class`).

    Examples
    --------
    >>> from chromatell.reporting._html import tag
    >>> tag("p", "a < b", class_='x"y')
    '<p class="x&quot;y">a &lt; b</p>'
    """
    said = "".join(f' {key.strip("_")}="{html.escape(str(value), quote=True)}"' for key, value in attributes.items())
    return Html(f"<{name}{said}>{join(parts)}</{name}>")


def join(parts: Iterable[Any], between: str = "") -> Html:
    """Return parts one after another, each escaped unless it is `Html`."""
    return Html(between.join(part if isinstance(part, Html) else html.escape(text(part)) for part in parts))


def text(value: Any) -> str:
    """Return a value as short text without control characters: numbers to four digits, nothing for NaN."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return "" if np.isnan(value) else f"{value:.4g}"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if value is None:
        return ""
    shown = "".join(c if c.isprintable() or c == "\n" else " " for c in str(value)[: _MAX_TEXT + 1])
    return shown if len(shown) <= _MAX_TEXT else shown[:_MAX_TEXT] + " ..."


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> Html:
    """Return a table that scrolls by itself where the page is narrower; columns of numbers stand to the right."""
    rows = [list(row) for row in rows]
    right = [bool(rows) and all(_NUMBER.fullmatch(text(row[i])) for row in rows) for i in range(len(columns))]

    def cells(name: str, row: Sequence[Any]) -> Html:
        return tag("tr", *(tag(name, v, **({"class": "number"} if r else {})) for v, r in zip(row, right, strict=True)))

    head = tag("thead", cells("th", columns))
    element = tag("table", head, tag("tbody", *(cells("td", row) for row in rows)))
    said = tag("p", caption, class_="soft") if caption else Html("")
    return Html(tag("div", element, class_="wide") + said)


def pairs(items: Iterable[tuple[str, Any]]) -> Html:
    """Return names and values as a table without a head."""
    rows = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in items]
    return tag("div", tag("table", tag("tbody", *rows)), class_="wide facts")


def picture(draw: Callable[[Axes], Any], about: str, *, size: tuple[float, float], caption: str = "") -> Html:
    """Return what `draw` puts on the axes of a new figure, as SVG inside the page; `about` is for who cannot see it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    draw(figure.subplots())
    return drawn(figure, about, caption)


def drawn(figure: Figure, about: str, caption: str = "") -> Html:
    """Return a figure as an element; in an image no script of an SVG would run."""
    from matplotlib import rc_context

    plain_labels(figure)
    buffer = io.BytesIO()
    with rc_context({"svg.hashsalt": "chromatell"}):  # the same data give the same picture
        figure.savefig(buffer, format="svg", metadata={"Date": None}, dpi=150)
    source = "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
    shown = Html(f'<img src="{source}" alt="{html.escape(text(about), quote=True)}">')
    return tag("figure", shown, tag("figcaption", caption))


def plain_labels(figure: Figure) -> None:
    """Draw names as they are: one with two dollar signs is no formula. Ticks of logarithmic axes are."""
    from matplotlib.text import Text
    from matplotlib.ticker import FixedFormatter

    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            if isinstance(axis.get_major_formatter(), FixedFormatter):
                for tick in axis.get_major_ticks():
                    tick.label1.set_parse_math(False)
    for label in figure.findobj(Text):
        if isinstance(label, Text) and "$" in label.get_text() and "\\mathdefault" not in label.get_text():
            label.set_parse_math(False)


def page(title: str, intro: Sequence[Html], sections: Sequence[tuple[str, str, Html]]) -> str:
    """Return the whole page; a section is (anchor, heading, content)."""
    links = [tag("li", tag("a", heading, href=f"#{anchor}")) for anchor, heading, _ in sections]
    body = [
        tag("header", tag("h1", title), *intro, tag("nav", tag("ol", *links), aria_label="Sections")),
        tag("main", *(tag("section", tag("h2", h), content, id=a) for a, h, content in sections)),
    ]
    head = (
        '<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{html.escape(text(title))}</title>\n<style>{_STYLE}</style>"
    )
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{join(body)}\n</body>\n</html>\n'


def told(make: Callable[[], Html]) -> Html:
    """Return a part, or in its place what is missing and the call that makes it."""
    try:
        return make()
    except ChromatellError as error:
        return tag("p", f"Not in these data. {error}", class_="note")
