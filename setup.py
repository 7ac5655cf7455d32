"""Installs maskprop: ``pip install -r requirements.txt && pip install -e .`` (or ``make setup``)."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def version() -> str:
    text = (ROOT / 'maskprop' / '__init__.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '([^']+)'", text, re.MULTILINE)[1]


def requirements() -> list[str]:
    lines = (ROOT / 'requirements.txt').read_text(encoding='utf-8').splitlines()
    lines = [line.split('#')[0].strip() for line in lines]
    return [line for line in lines if line]


def readme() -> str:
    path = ROOT / 'README.md'
    return path.read_text(encoding='utf-8') if path.exists() else ''


setup(
    name='maskprop',
    version=version(),
    description='MaskProp: video instance segmentation by mask propagation, on mmdetection',
    long_description=readme(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    packages=find_packages(include=['maskprop', 'maskprop.*']),
    package_data={'maskprop.datasets.stills': ['maps/*.json']},
    python_requires='>=3.10,<3.14',
    install_requires=requirements(),
    extras_require={'test': ['pytest>=8', 'pytest-xdist>=3'], 'lint': ['ruff==0.17.6', 'pre-commit']},
    classifiers=[
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
