"""Finds what is wrong with an installation and names the command that fixes it (``maskprop doctor``).

Depends on the standard library only, so that it can speak when anything else is missing or broken.
"""

from __future__ import annotations

import subprocess
import sys

from maskprop.doctor import checks
from maskprop.doctor.findings import (
    OK,
    PROBLEM,
    WARNING,
    Finding,
    first_line,
    installed_version,
    reinstall,
    report,
)

__all__ = ['OK', 'PROBLEM', 'WARNING', 'Finding', 'diagnose', 'mend_opencv', 'report']


def diagnose() -> list[Finding]:
    """Run every check; none of them raises."""
    findings: list[Finding] = []
    for check in checks.CHECKS:
        try:
            findings += check()
        except Exception as error:  # a broken package can raise anything
            name = check.__name__.removeprefix('check_')
            findings.append(Finding(name, f'could not be checked: {first_line(error)}', PROBLEM, reinstall()))
    return findings


def mend_opencv() -> None:
    """Lay the headless OpenCV over the one that needs libGL.so.1, if that one is in ``cv2`` or cv2 doesn't import.

    mmcv asks for opencv-python, this project for opencv-python-headless; both fill the folder ``cv2``, and
    whichever pip installs last wins. The headless files are written again, in their own version; opencv-python
    stays on pip's books, so that pip finds every requirement met.

    Raises:
        subprocess.CalledProcessError: pip failed.
    """
    check = 'import cv2.version, sys; sys.exit(not cv2.version.headless)'
    if subprocess.run([sys.executable, '-c', check], capture_output=True).returncode == 0:
        print('OpenCV is the headless build: nothing to fix.')
        return
    requirement = 'opencv-python-headless'
    version = installed_version('opencv-python-headless') or installed_version('opencv-python')
    if version:
        requirement += f'=={version}'
    print(f'Replacing the OpenCV that needs a screen library (libGL.so.1) by {requirement}.', flush=True)
    pip = [sys.executable, '-m', 'pip', 'install', '--force-reinstall', '--no-deps', requirement]
    subprocess.run(pip, check=True)
