"""Links between pages lead to a page, and to a heading that is there; names of functions are those of the package."""

from __future__ import annotations

import json
import pkgutil
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
TUTORIALS = DOCS.parent / "tutorials"
PAGES = sorted(p for p in DOCS.rglob("*.md") if not {"_build", "jupyter_execute", "generated"} & set(p.parts))
PAGES += sorted(TUTORIALS.glob("*.ipynb"))


def text_of(page: Path) -> str:
    if page.suffix == ".md":
        return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    cells = json.loads(page.read_text(encoding="utf-8"))["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def place_of(page: Path) -> Path:
    return page if page.suffix == ".md" else DOCS / "tutorials" / page.name


def found(place: Path) -> Path | None:
    """The file that a link means; notebooks are copied into the pages when these are built."""
    for one in (place, place.with_suffix(".md"), place.with_suffix(".rst"), TUTORIALS / f"{place.stem}.ipynb"):
        if one.is_file() and (one.parent != TUTORIALS or place.parent.name == "tutorials"):
            return one
    return None


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MyST make them."""
    headings = re.findall(r"^#{1,3} (.+)$", text_of(page), flags=re.M)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\{\w+\}`([^`<]*)[^`]*`", r"\1", h).lower()) for h in headings]
    return {h.strip().replace(" ", "-") for h in plain}


@pytest.mark.parametrize("page", PAGES, ids=[p.name for p in PAGES])
def test_links_lead_somewhere(page):
    text = text_of(page)
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://|mailto:", target):
            continue
        path, _, anchor = target.partition("#")
        other = page if not path else found((place_of(page).parent / path).resolve())
        if other is None or (anchor and anchor not in anchors(other)):
            lost.append(target)
    for said in re.findall(r"\{doc\}`([^`]+)`", text):
        path = re.sub(r".*<(.+)>", r"\1", said)
        if found((place_of(page).parent / path).resolve()) is None:
            lost.append(said)
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=[p.name for p in PAGES])
def test_functions_that_are_named_are_there(page):
    for said in re.findall(r"\{(?:func|class|meth)\}`([^`]+)`", text_of(page)):
        name = re.sub(r".*<~?(.+)>", r"\1", said).lstrip("~")
        assert pkgutil.resolve_name(name) is not None
