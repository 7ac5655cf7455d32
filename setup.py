"""Builds the package; pyproject.toml has the rest. Install: ``pip install .``, or ``make setup`` to work on it."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent


class BuildWithConfigs(build_py):
    """Puts configs and model index into the package, where OpenMMLab's tools look: ``maskprop/.mim``."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the checkout has links to them
            return
        target = Path(self.build_lib) / 'maskprop' / '.mim'
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(ROOT / 'configs', target / 'configs', ignore=shutil.ignore_patterns('__pycache__'))
        shutil.copy(ROOT / 'model-index.yml', target)


setup(cmdclass={'build_py': BuildWithConfigs})
