"""The site: pages of this folder, the notebooks as they are stored, and the reference from docstrings."""

from __future__ import annotations

import importlib.metadata
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx

HERE = Path(__file__).parent

project = "causalrel"
author = "The causalrel authors"
release = importlib.metadata.version("causalrel")
html_title = f"causalrel {release}"
html_theme = "furo"
html_copy_source = False
html_show_copyright = False

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
nb_execution_mode = "off"
myst_heading_anchors = 3
autodoc_typehints = "none"
autodoc_default_options = {"members": True}
napoleon_google_docstring = False
napoleon_use_ivar = True


def copy_notebooks(_app: Sphinx) -> None:
    """Lay the notebooks beside the pages, as the generator reads one folder, and drop pages of names that are gone."""
    for made in ("notebooks", "reference"):
        shutil.rmtree(HERE / made, ignore_errors=True)
    shutil.copytree(HERE.parent / "notebooks", HERE / "notebooks", ignore=shutil.ignore_patterns(".*"))


def point_inside(_app: Sphinx, _name: str, source: list[str]) -> None:
    """Turn links that lead out of the folder, as they must in the repository, to the copies inside."""
    source[0] = source[0].replace("../notebooks/", "notebooks/")


def setup(app: Sphinx) -> None:
    """Connect both."""
    app.connect("builder-inited", copy_notebooks, priority=1)
    app.connect("source-read", point_inside)
