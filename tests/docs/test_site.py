"""The site builds without a warning: links, anchors, menu, docstrings. The notebooks run to their ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / 'docs/notebooks').glob('*.ipynb'))
MOST_BYTES = 300_000  # of each notebook, with its pictures
EXTRA = 'pip install "maskprop[docs]"'


@pytest.fixture(scope='module')
def site(tmp_path_factory) -> Path:
    pytest.importorskip('mkdocstrings', reason=EXTRA)
    folder = tmp_path_factory.mktemp('site')
    command = [sys.executable, '-m', 'mkdocs', 'build', '--strict', '--quiet', '--site-dir', str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, 'NO_MKDOCS_2_WARNING': '1'}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.mark.slow
def test_site_has_reference_notebooks_and_search(site):
    assert 'id="maskprop.apis.session.VideoSession.step"' in (site / 'api/apis.html').read_text(encoding='utf-8')
    assert 'inference_video' in (site / 'notebooks/own_video.html').read_text(encoding='utf-8')
    assert 'VideoSession' in (site / 'search/search_index.json').read_text(encoding='utf-8')


@pytest.mark.slow
def test_pages_load_nothing_from_elsewhere(site):
    for page in site.rglob('*.html'):
        text = page.read_text(encoding='utf-8')
        assert 'src="http' not in text and 'rel="stylesheet" href="http' not in text, page


@pytest.mark.slow
def test_roles_of_docstrings_are_links(site):
    for page in (site / 'api').glob('*.html'):
        text = page.read_text(encoding='utf-8')
        assert not any(f':{role}:' in text for role in ('class', 'func', 'meth', 'mod')), page


@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_with_its_outputs(path):
    nbformat = pytest.importorskip('nbformat', reason=EXTRA)
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', [])]
    assert any('image/jpeg' in output.get('data', {}) for output in outputs), f'{path.name}: no picture; run it'
    assert not any(output['output_type'] == 'error' for output in outputs), f'{path.name}: ended in an error'
    assert path.stat().st_size < MOST_BYTES


@pytest.mark.slow
@pytest.mark.xdist_group('processes')
@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path, tmp_path, monkeypatch):
    nbformat = pytest.importorskip('nbformat', reason=EXTRA)
    nbclient = pytest.importorskip('nbclient', reason=EXTRA)
    pytest.importorskip('ipykernel', reason=EXTRA)
    monkeypatch.setenv('PYTHONPATH', str(ROOT))
    monkeypatch.setenv('TMPDIR', str(tmp_path))
    notebook = nbformat.read(path, as_version=4)
    kept = [[output.output_type for output in cell.get('outputs', [])] for cell in notebook.cells]
    client = nbclient.NotebookClient(
        notebook, timeout=900, kernel_name='python3', resources={'metadata': {'path': str(tmp_path)}}
    )
    client.execute()
    for cell, types in zip(notebook.cells, kept, strict=True):
        found = {output.output_type for output in cell.get('outputs', [])}
        assert found >= set(types), f'{cell.source}\ngave {found}, is kept with {types}'
