"""What a check returns, and what the known import errors mean. Standard library only."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OK, WARNING, PROBLEM = 'ok', 'warning', 'problem'
# Import name, and the distribution that brings it.
PACKAGES = {
    'numpy': 'numpy',
    'torch': 'torch',
    'torchvision': 'torchvision',
    'cv2': 'opencv-python-headless',
    'pycocotools.mask': 'pycocotools',
    'numba': 'numba',
    'yaml': 'pyyaml',
    'mmengine': 'onedl-mmengine',
    'mmcv': 'onedl-mmcv',
    'mmdet': 'onedl-mmdetection',
}


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, what was found, and for a fault the command that fixes it."""

    subject: str
    text: str
    level: str = OK
    mend: str = ''

    def __str__(self) -> str:
        line = f'{self.level:8} {self.subject}: {self.text}'
        return f'{line}\n{"":8} fix with: {self.mend}' if self.mend else line


def report(findings: list[Finding]) -> str:
    """The findings and a closing line that counts the faults."""
    problems = sum(finding.level == PROBLEM for finding in findings)
    cautions = sum(finding.level == WARNING for finding in findings)
    closing = 'Everything is in order.'
    if problems or cautions:
        closing = f'{problems} problem(s) to fix before maskprop works, {cautions} warning(s).'
    return '\n'.join([*map(str, findings), '', closing])


def python() -> str:
    """This interpreter, as short as a shell in the current folder needs it."""
    with contextlib.suppress(ValueError):
        return str(Path(sys.executable).relative_to(Path.cwd()))
    return sys.executable


def pip_install(arguments: str) -> str:
    """The pip command that installs something into this environment."""
    return f'{python()} -m pip install {arguments}'


def reinstall() -> str:
    """The command that installs the requirements again."""
    return pip_install('-r requirements.txt')


def opencv_mend() -> str:
    """The command that leaves a cv2 which imports without a screen."""
    return f'{python()} -m maskprop doctor --mend-opencv'


def installed_version(distribution: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def try_import(name: str) -> tuple[Any, Exception | None]:
    """The module, or the error that its import raised."""
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        try:
            return importlib.import_module(name), None
        except Exception as error:
            return None, error


def first_line(error: BaseException) -> str:
    """The first line of an error, for a one-line finding."""
    text = str(error).strip().splitlines()
    return f'{type(error).__name__}: {text[0]}' if text else type(error).__name__


def explain_import_error(name: str, error: Exception) -> tuple[str, str]:
    """What the error of importing ``name`` means, and the command that fixes it."""
    text = str(error)
    distribution = PACKAGES.get(name, name)
    if isinstance(error, ModuleNotFoundError) and error.name in (name, name.split('.')[0]):
        return 'not installed', reinstall()
    if 'torchvision::nms does not exist' in text or "Couldn't load custom C++ ops" in text:
        meaning = (
            f'torch {installed_version("torch")} and torchvision {installed_version("torchvision")} do not match'
        )
        return f'{first_line(error)} ({meaning})', pip_install('--force-reinstall torch torchvision')
    if re.search(r'lib(GL|gthread|xcb|SM|ICE|Xext|Xrender)[\w.-]*\.so', text):
        return f'{first_line(error)} (the OpenCV that needs a screen is installed)', opencv_mend()
    if 'numpy.dtype size changed' in text or 'NumPy 1.x' in text or '_ARRAY_API' in text:
        return f'{first_line(error)} (built for another NumPy)', pip_install(f'--force-reinstall {distribution}')
    if 'Numba needs NumPy' in text:
        return first_line(error), pip_install('--upgrade numba')
    if isinstance(error, ModuleNotFoundError):
        return f'{first_line(error)} (needed by {name})', reinstall()
    if isinstance(error, AssertionError):  # mmdet refuses versions of mmcv and mmengine that it does not know
        return first_line(error), reinstall()
    if name in ('torch', 'torchvision'):
        return first_line(error), pip_install('--force-reinstall torch torchvision')
    return first_line(error), pip_install(f'--force-reinstall --no-deps {distribution}')
