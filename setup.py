"""Installs maskprop: ``pip install -r requirements.txt && pip install -e .`` (or ``make setup``)."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

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


class BuildWithConfigs(build_py):
    """Puts configs and model index into the package, where OpenMMLab's tools look: ``maskprop/.mim``."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the checkout has them
            return
        target = Path(self.build_lib) / 'maskprop' / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(ROOT / 'configs', target / 'configs', ignore=shutil.ignore_patterns('__pycache__'))
        shutil.copy(ROOT / 'model-index.yml', target)


setup(
    name='maskprop',
    version=version(),
    description='MaskProp: video instance segmentation by mask propagation, on mmdetection',
    long_description=readme(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    cmdclass={'build_py': BuildWithConfigs},
    packages=find_packages(include=['maskprop', 'maskprop.*']),
    package_data={'maskprop.datasets.stills': ['maps/*.json']},
    python_requires='>=3.10,<3.14',
    install_requires=requirements(),
    extras_require={
        'hub': ['huggingface_hub>=0.25'],  # hf://OWNER/NAME
        'supervision': ['supervision>=0.25'],  # FrameResult.to_supervision
        'video': ['av>=14.2'],  # overlays in H.264, which browsers play
        # and trackeval==1.3.0 without what it depends on, which the Makefile installs
        'test': ['huggingface_hub>=0.25', 'hypothesis>=6', 'pytest>=8', 'pytest-xdist>=3'],
        'lint': ['ruff==0.17.6', 'pre-commit'],
    },
    classifiers=[
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Image Recognition',
    ],
)
