"""The doctor: a healthy installation, every known fault with the command that mends it, and no crash on any."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest

from maskprop import doctor
from maskprop.doctor import checks, findings

SCRIPT = Path(__file__).resolve().parents[1] / 'tools' / 'doctor.py'


def levels(found: list[doctor.Finding]) -> list[str]:
    return [finding.level for finding in found]


@pytest.fixture
def versions(monkeypatch):
    """Lets a test say which distributions are installed: {name: version}."""

    def pretend(installed: dict[str, str], requires: list[str] = ()) -> None:
        monkeypatch.setattr(checks, 'installed_version', installed.get)
        monkeypatch.setattr(findings, 'installed_version', installed.get)
        monkeypatch.setattr(doctor, 'installed_version', installed.get)
        monkeypatch.setattr(importlib.metadata, 'requires', lambda name: list(requires))

    return pretend


def test_this_installation_has_no_problem():
    found = doctor.diagnose()
    assert not [str(finding) for finding in found if finding.level == doctor.PROBLEM]
    subjects = [finding.subject for finding in found]
    for subject in ('python', 'torch', 'mmdet', 'numba', 'kernels', 'mmdet.models', 'CPU', 'mp4', 'work_dirs'):
        assert subject in subjects


def test_an_environment_without_packages_is_diagnosed():
    """-S leaves site-packages out: nothing but the standard library can be imported."""
    done = subprocess.run([sys.executable, '-I', '-S', str(SCRIPT)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    for subject in ('torch', 'cv2', 'mmcv', 'mmdet', 'numpy', 'pycocotools'):
        assert f'problem  {subject}: not installed' in done.stdout
    assert '-m pip install -r requirements.txt' in done.stdout
    assert '10 problem(s)' in done.stdout
    assert 'Traceback' not in done.stdout + done.stderr


def test_a_package_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, 'numba', None)
    fault = next(finding for finding in checks.check_packages() if finding.subject == 'numba')
    assert fault.level == doctor.PROBLEM and fault.text == 'not installed'
    assert fault.mend.endswith('-m pip install -r requirements.txt')


@pytest.mark.parametrize(
    ('name', 'error', 'text', 'mend'),
    [
        (
            'torchvision',
            RuntimeError('operator torchvision::nms does not exist'),
            'do not match',
            'pip install --force-reinstall torch torchvision',
        ),
        (
            'cv2',
            ImportError('libGL.so.1: cannot open shared object file: No such file or directory'),
            'libGL.so.1: cannot open shared object file',
            '-m maskprop doctor --mend-opencv',
        ),
        ('mmcv', ImportError('libgthread-2.0.so.0: cannot open shared object file'), 'screen', '--mend-opencv'),
        (
            'pycocotools.mask',
            ValueError('numpy.dtype size changed, may indicate binary incompatibility'),
            'another NumPy',
            'pip install --force-reinstall pycocotools',
        ),
        ('numba', ImportError('Numba needs NumPy 2.1 or less. Got NumPy 2.3.'), 'NumPy 2.1', '--upgrade numba'),
        ('mmdet', ModuleNotFoundError("No module named 'x'", name='x'), 'needed by mmdet', '-r requirements.txt'),
        ('mmdet', AssertionError('MMCV==1.7 is used but incompatible.'), 'incompatible', '-r requirements.txt'),
        ('torch', OSError('libcudnn.so.9: cannot open'), 'libcudnn', '--force-reinstall torch torchvision'),
        ('yaml', SyntaxError('odd'), 'SyntaxError: odd', '--force-reinstall --no-deps pyyaml'),
        ('yaml', RuntimeError(), 'RuntimeError', 'pyyaml'),
    ],
)
def test_known_import_errors(name, error, text, mend):
    found_text, found_mend = findings.explain_import_error(name, error)
    assert text in found_text
    assert mend in found_mend


def test_a_check_that_fails_is_itself_a_finding(monkeypatch):
    def check_moon():
        raise RuntimeError('no moon\nand a second line')

    monkeypatch.setattr(checks, 'CHECKS', (check_moon, lambda: [doctor.Finding('sun', 'shines')]))
    broken, fine = doctor.diagnose()
    assert (broken.subject, broken.level) == ('moon', doctor.PROBLEM)
    assert broken.text == 'could not be checked: RuntimeError: no moon'
    assert fine.level == doctor.OK


@pytest.mark.parametrize(
    ('version', 'level'),
    [((3, 9), doctor.PROBLEM), ((3, 10), doctor.OK), ((3, 13), doctor.OK), ((3, 14), doctor.WARNING)],
)
def test_python_version(monkeypatch, version, level):
    monkeypatch.setattr(sys, 'version_info', (*version, 0, 'final', 0))
    assert levels(checks.check_python()) == [level]


@pytest.mark.parametrize(
    ('torch', 'requirement', 'level'),
    [
        ('2.9.1', 'torch==2.9.1', doctor.OK),
        ('2.9.1+cpu', 'torch==2.9.1', doctor.OK),
        ('2.9.0', 'torch==2.9.1', doctor.PROBLEM),
        ('2.9.0', 'torch (==2.9.1)', doctor.PROBLEM),
        ('2.14.1', 'torch>=2.14.0', doctor.OK),
        ('2.9.1', 'torch>=2.14.0', doctor.PROBLEM),
    ],
)
def test_torch_and_torchvision_belong_together(versions, torch, requirement, level):
    versions({'torch': torch, 'torchvision': '0.24.1'}, ['numpy', requirement])
    fault = checks.check_torch_pair()[0]
    assert fault.level == level
    if level == doctor.PROBLEM:
        wanted = requirement.replace(' (', '').replace(')', '')
        assert fault.mend.endswith(f"pip install '{wanted}'")


def test_two_distributions_in_one_folder(versions):
    versions({'mmcv': '2.1.0', 'onedl-mmcv': '2.3.6', 'mmdet': '3.3.0'})
    (fault,) = checks.check_rivals()
    assert 'mmcv 2.1.0 is installed into the same folder as onedl-mmcv' in fault.text
    assert 'pip uninstall -y mmcv && ' in fault.mend
    assert fault.mend.endswith('pip install --force-reinstall --no-deps onedl-mmcv')


@pytest.mark.parametrize(('headless', 'level'), [(True, doctor.OK), (False, doctor.WARNING)])
def test_opencv_build(monkeypatch, headless, level):
    fake = SimpleNamespace(version=SimpleNamespace(headless=headless))
    monkeypatch.setitem(sys.modules, 'cv2', fake)
    (finding,) = checks.check_opencv()
    assert finding.level == level
    assert headless or finding.mend.endswith('--mend-opencv')


def pretend_runs(monkeypatch, opencv_is_headless: bool) -> list[list[str]]:
    """Record the commands of mend_opencv instead of running them."""
    commands = []

    def run(command, **kwargs):
        commands.append(command)
        return SimpleNamespace(returncode=0 if opencv_is_headless else 1)

    monkeypatch.setattr(subprocess, 'run', run)
    return commands


def test_a_headless_opencv_is_left_alone(monkeypatch, capsys):
    commands = pretend_runs(monkeypatch, opencv_is_headless=True)
    doctor.mend_opencv()
    assert len(commands) == 1 and 'pip' not in commands[0]
    assert 'nothing to fix' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('installed', 'requirement'),
    [
        (
            {'opencv-python': '4.12.0.88', 'opencv-python-headless': '4.11.0.86'},
            'opencv-python-headless==4.11.0.86',
        ),
        ({'opencv-python': '4.12.0.88'}, 'opencv-python-headless==4.12.0.88'),
        ({}, 'opencv-python-headless'),
    ],
)
def test_the_other_opencv_is_replaced(monkeypatch, versions, installed, requirement):
    versions(installed)
    commands = pretend_runs(monkeypatch, opencv_is_headless=False)
    doctor.mend_opencv()
    assert commands[1] == [sys.executable, '-m', 'pip', 'install', '--force-reinstall', '--no-deps', requirement]


def test_kernels_that_do_not_run(monkeypatch):
    def fail(device):
        raise RuntimeError(f'nms or RoIAlign gives wrong results on {device}')

    monkeypatch.setattr(checks, '_run_kernels', fail)
    (fault,) = checks.check_kernels()
    assert fault.level == doctor.PROBLEM and 'wrong results on cpu' in fault.text
    assert 'pip install' in fault.mend


@pytest.mark.parametrize(
    ('driver', 'cuda', 'level', 'text'),
    [
        (None, None, doctor.OK, 'none'),
        ('/usr/bin/nvidia-smi', None, doctor.WARNING, 'is a CPU build'),
        ('/usr/bin/nvidia-smi', '13.0', doctor.WARNING, 'may be too old'),
    ],
)
def test_gpu_that_is_not_used(monkeypatch, driver, cuda, level, text):
    monkeypatch.setattr(shutil, 'which', lambda name: driver)
    monkeypatch.setattr(checks, 'NVIDIA_DRIVER', Path('does/not/exist'))
    fake = SimpleNamespace(
        __version__='2.9.1', version=SimpleNamespace(cuda=cuda), cuda=SimpleNamespace(is_available=lambda: False)
    )
    monkeypatch.setitem(sys.modules, 'torch', fake)
    finding = checks.check_devices()[-1]
    assert finding.subject == 'GPU' and finding.level == level and text in finding.text
    assert bool(finding.mend) == (level != doctor.OK)


def test_mp4_that_cannot_be_written(monkeypatch):
    monkeypatch.setattr(checks, '_mp4_frames', lambda cv2, path: 0)
    (finding,) = checks.check_video()
    assert finding.level == doctor.WARNING and 'wrote 4 frames and read 0' in finding.text
    assert 'opencv-python-headless' in finding.mend


def test_folders_that_are_not_writable(monkeypatch):
    def refuse(dir):
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(tempfile, 'TemporaryFile', refuse)
    found = checks.check_folders()
    assert levels(found) == [doctor.PROBLEM] * 3
    assert 'Permission denied' in found[0].text and found[0].mend.startswith('chmod u+w ')


def test_little_room(monkeypatch):
    usage = namedtuple('usage', 'total used free')
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage(64 * 2**20, 0, 2**30))
    assert set(levels(checks.check_folders())) == {doctor.WARNING}
    if Path('/dev/shm').exists():
        (finding,) = checks.check_shared_memory()
        assert finding.level == doctor.WARNING and '64 MiB only' in finding.text and '--shm-size' in finding.mend


def test_report_counts_the_faults():
    found = [doctor.Finding('a', 'fine'), doctor.Finding('b', 'odd', doctor.WARNING, 'do this')]
    text = doctor.report(found)
    assert '0 problem(s) to fix before maskprop works, 1 warning(s).' in text
    assert 'warning  b: odd\n         fix with: do this' in text
    assert doctor.report(found[:1]).endswith('Everything is in order.')
