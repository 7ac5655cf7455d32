"""A release is named alike everywhere, and what installs from a checkout names files that are there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import yaml

import maskprop

ROOT = Path(__file__).parents[1]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding='utf-8')


def test_version_and_date_agree():
    cited = yaml.safe_load(read('CITATION.cff'))
    released = re.findall(r'^## (\d\S*)(?: - (\S+))?$', read('CHANGELOG.md'), re.MULTILINE)
    assert (maskprop.__version__, str(cited['date-released'])) == released[0]
    assert str(cited['version']) == maskprop.__version__


def test_the_changelog_has_a_place_for_what_comes():
    sections = re.findall(r'^## (\S+)', read('CHANGELOG.md'), re.MULTILINE)
    assert sections[0] == 'Unreleased' and len(sections) == len(set(sections))


def test_the_image_gets_what_it_copies_and_installs():
    kept = {line[1:] for line in read('.dockerignore').splitlines() if line[:1] == '!'}
    missing = sorted(name for name in kept if not (ROOT / name).exists())
    assert not missing, f'.dockerignore keeps {missing}, which the checkout lacks'
    copied = re.findall(r'^COPY (\S+) ', read('Dockerfile'), re.MULTILINE)
    assert set(copied) - {'.'} <= kept
    # what the build of the wheel reads
    assert {'pyproject.toml', 'setup.py', 'requirements.txt', 'README.md', 'LICENSE', 'model-index.yml'} <= kept


def test_workflows_and_the_dev_container_run_targets_that_there_are():
    targets = set(re.findall(r'^([a-z-]+):', read('Makefile'), re.MULTILINE))
    jobs = yaml.safe_load(read('.github/workflows/ci.yml'))['jobs']
    lines = [step['run'] for job in jobs.values() for step in job['steps'] if 'run' in step]
    lines.append(json.loads(read('.devcontainer/devcontainer.json'))['postCreateCommand'])
    called = {name for line in lines for name in re.findall(r'(?<!-)\bmake ([a-z-]+)', line)}
    assert called and called <= targets, f'the Makefile lacks {sorted(called - targets)}'
