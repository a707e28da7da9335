"""Documentation: the tutorial's file, links into the repository, and the notebooks."""

import importlib.util
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import pidlab

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
# Pages that mkdocs makes from the repository (docs/hooks.py).
GENERATED = re.compile(r"^(gallery/[\w-]+|notebooks/\w+|changelog)\.md$")
LINK = re.compile(r"\]\(([^)#\s]+)")
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)


def test_guide_shows_the_tutorial_file():
    code = (ROOT / "figures" / "tutorial" / "my_loss.py").read_text()
    assert code in (ROOT / "docs" / "your-own-objective.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path):
    text = CODE.sub("", page.read_text())
    links = [link for link in LINK.findall(text) if not link.startswith("http")]
    missing = [link for link in links if not (page.parent / link).exists() and not GENERATED.match(link)]
    assert not missing


def test_files_state_the_version_of_the_package():
    stated = {
        "CHANGELOG.md": r"^## (\d\S*) \(\d{4}-\d\d-\d\d\)$",
        "CITATION.cff": r"^version: (\S+)$",
        "README.md": r"^  version = \{(\S+)\},$",
        "docs/citing.md": r"^  version = \{(\S+)\},$",
    }
    for name, pattern in stated.items():
        found = re.search(pattern, (ROOT / name).read_text(), re.MULTILINE)
        assert found, name
        assert found[1] == pidlab.__version__, name


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# The client starts its kernel with an event loop of its own.
@pytest.mark.filterwarnings("ignore")
def test_notebook_runs(path: Path, tmp_path: Path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_has_outputs(path: Path):
    cells = nbformat.read(path, as_version=4).cells
    assert any(cell.get("outputs") for cell in cells)
    assert not any(o.output_type == "error" for cell in cells for o in cell.get("outputs", []))


REBUILD = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("hooks", "docs/hooks.py")
hooks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(hooks)
sys.stdout.write(hooks.leaderboard_table(hooks.ROOT / "figures" / "profiles"))
"""


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs mkdocs")
def test_the_leaderboard_is_rebuilt_with_the_same_bytes():
    first, second = (
        subprocess.run(
            [sys.executable, "-c", REBUILD],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    )
    assert first.count(b"<tr data-views") > 40
    assert first == second


GALLERY = REBUILD.replace(
    'hooks.leaderboard_table(hooks.ROOT / "figures" / "profiles")', 'hooks.gallery()["gallery/index.md"]'
)


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs mkdocs")
def test_the_gallery_shows_every_figure_with_its_study_claims_and_command():
    page = subprocess.run(
        [sys.executable, "-c", GALLERY], cwd=ROOT, capture_output=True, check=True, text=True
    )
    parts = re.split(r"^### ", page.stdout, flags=re.MULTILINE)[1:]
    assert {part.splitlines()[0] for part in parts} == {
        claims.parent.name for claims in (ROOT / "figures").glob("*/claims.json")
    }
    for part in parts:
        name = part.splitlines()[0]
        study = tomllib.loads((ROOT / "studies" / f"{name}.toml").read_text())
        for figure in study.get("figure", []):
            assert f"(../figures/{name}/{figure['name']}.png)]({name}.md#{figure['name']})" in part
        assert f"[study]({name}.md) · [claims]({name}.md#claims) · `pidlab study run {name} " in part
