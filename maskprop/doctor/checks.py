"""The checks of an installation: each returns findings. What is broken may raise; ``diagnose`` catches it."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from maskprop.doctor.findings import (
    OK,
    PACKAGES,
    PROBLEM,
    WARNING,
    Finding,
    explain_import_error,
    first_line,
    installed_version,
    opencv_mend,
    pip_install,
    python,
    try_import,
)

OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 13)
NVIDIA_DRIVER = Path('/proc/driver/nvidia/version')
# Distributions that put other files into the same folders.
RIVALS = {
    'mmcv': 'onedl-mmcv',
    'mmcv-full': 'onedl-mmcv',
    'mmcv-lite': 'onedl-mmcv',
    'mmdet': 'onedl-mmdetection',
    'mmengine': 'onedl-mmengine',
}


def check_python() -> list[Finding]:
    """The version of Python is one that the project supports."""
    found = f'{platform.python_version()} at {sys.executable}, {platform.system()} {platform.machine()}'
    if sys.version_info[:2] < OLDEST_PYTHON:
        return [Finding('python', f'{found}; 3.10 or later is needed', PROBLEM, 'make setup PYTHON=python3.11')]
    if sys.version_info[:2] > NEWEST_PYTHON:
        return [Finding('python', f'{found}; tested up to 3.13', WARNING, 'make setup PYTHON=python3.13')]
    return [Finding('python', found)]


def check_packages() -> list[Finding]:
    """Every required package is installed and imports."""
    findings = []
    for name, distribution in PACKAGES.items():
        subject = name.split('.')[0]
        module, error = try_import(name)
        if error is not None:
            text, mend = explain_import_error(name, error)
            findings.append(Finding(subject, text, PROBLEM, mend))
        else:
            version = getattr(module, '__version__', None) or installed_version(distribution) or 'unknown version'
            findings.append(Finding(subject, version))
    return findings


def check_rivals() -> list[Finding]:
    """No package shares its folder with another one of the same import name."""
    findings = []
    for rival, wanted in RIVALS.items():
        if installed_version(rival) and installed_version(wanted):
            mend = f'{python()} -m pip uninstall -y {rival} && ' + pip_install(
                f'--force-reinstall --no-deps {wanted}'
            )
            text = f'{rival} {installed_version(rival)} is installed into the same folder as {wanted}'
            findings.append(Finding(wanted, text, WARNING, mend))
    return findings


def check_torch_pair() -> list[Finding]:
    """torchvision's kernels work with exactly the torch it was built for."""
    torch = installed_version('torch')
    if torch is None or installed_version('torchvision') is None:
        return []
    found = torch.split('+')[0]
    for requirement in importlib.metadata.requires('torchvision') or []:
        wanted = re.match(r'torch\s*\(?(==|>=)\s*([\d.]+)', requirement)
        if wanted and not _fits(found, *wanted.groups()):
            text = (
                f'torchvision {installed_version("torchvision")} needs torch{wanted[1]}{wanted[2]}, found {found}'
            )
            return [Finding('torch and torchvision', text, PROBLEM, pip_install(f"'torch{wanted[1]}{wanted[2]}'"))]
    return [Finding('torch and torchvision', 'belong together')]


def _fits(found: str, relation: str, wanted: str) -> bool:
    have, want = ([int(part) for part in re.findall(r'\d+', version)] for version in (found, wanted))
    return have == want if relation == '==' else have >= want


def check_opencv() -> list[Finding]:
    """OpenCV imports, also on a machine without a screen."""
    cv2, error = try_import('cv2')
    if error is not None:
        return []  # reported with the packages
    if cv2.version.headless:
        return [Finding('OpenCV', 'headless build')]
    text = 'imports here, but it is the build that needs libGL.so.1, which bare containers and servers lack'
    return [Finding('OpenCV', text, WARNING, opencv_mend())]


def check_kernels() -> list[Finding]:
    """Which kernels stand behind mmcv.ops, and whether they run."""
    if try_import('torch')[1] or try_import('torchvision')[1] or try_import('mmcv')[1]:
        return [Finding('kernels', 'not checked: torch, torchvision or mmcv does not import')]
    try:
        kernels = importlib.import_module('maskprop.ops.mmcv_kernels')
        standin = kernels.install_torchvision_kernels()
        _run_kernels('cpu')
    except Exception as error:
        mend = pip_install('--no-deps --force-reinstall --no-cache-dir onedl-mmcv')
        return [Finding('kernels', first_line(error), PROBLEM, mend)]
    name = (
        "torchvision's, in place of mmcv's (mmcv is not compiled, which is fine)"
        if standin
        else "mmcv's compiled ones"
    )
    return [Finding('kernels', name)]


def _run_kernels(device: str) -> None:
    import torch
    from mmcv.ops import RoIAlign, nms

    boxes = torch.tensor([[0.0, 0, 8, 8], [0, 0, 8, 7]], device=device)
    kept = nms(boxes, torch.tensor([0.9, 0.8], device=device), 0.5)[1]
    image = torch.ones(1, 1, 8, 8, device=device)
    pooled = RoIAlign(2)(image, torch.tensor([[0.0, 0, 0, 8, 8]], device=device))
    if kept.tolist() != [0] or not torch.allclose(pooled, torch.ones_like(pooled)):
        raise RuntimeError(f'nms or RoIAlign gives wrong results on {device}')


def check_mmdet_models() -> list[Finding]:
    """mmdet's models import."""
    if try_import('mmdet')[1] or 'mmcv._ext' not in sys.modules:
        return []
    error = try_import('mmdet.models')[1]
    if error is None:
        return [Finding('mmdet.models', 'imports')]
    text, mend = explain_import_error('mmdet', error)
    return [Finding('mmdet.models', text, PROBLEM, mend)]


def check_devices() -> list[Finding]:
    """Processors and GPUs."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    findings = [Finding('CPU', f'{cpus} core(s)')]
    torch, error = try_import('torch')
    if error is not None:
        return findings
    if not torch.cuda.is_available():
        return [*findings, _without_gpu(torch)]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        text = f'{properties.name}, {properties.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}'
        try:
            if 'mmcv._ext' in sys.modules:
                _run_kernels(f'cuda:{index}')
            findings.append(Finding(f'GPU {index}', text))
        except Exception as failure:
            mend = pip_install('--force-reinstall torch torchvision')
            findings.append(Finding(f'GPU {index}', f'{text}; {first_line(failure)}', PROBLEM, mend))
    return findings


def _without_gpu(torch: ModuleType) -> Finding:
    if not (shutil.which('nvidia-smi') or NVIDIA_DRIVER.exists()):
        return Finding('GPU', 'none: training and inference run on the CPU')
    if torch.version.cuda is None:
        text = f'the machine has an NVIDIA driver, but torch {torch.__version__} is a CPU build'
        return Finding('GPU', text, WARNING, pip_install('--force-reinstall torch torchvision'))
    text = f'torch (CUDA {torch.version.cuda}) cannot use the NVIDIA driver; it may be too old'
    return Finding(
        'GPU', text, WARNING, 'nvidia-smi   (shows the CUDA version of the driver: at least that of torch?)'
    )


def check_video() -> list[Finding]:
    """OpenCV can write an mp4."""
    cv2, error = try_import('cv2')
    if error is not None or try_import('numpy')[1] is not None:
        return []
    with tempfile.TemporaryDirectory() as folder:
        frames = _mp4_frames(cv2, str(Path(folder) / 'test.mp4'))
    if frames == 4:
        return [Finding('mp4', 'can be written and read')]
    mend = pip_install('--force-reinstall --no-deps opencv-python-headless')
    return [Finding('mp4', f'OpenCV {cv2.__version__} wrote 4 frames and read {frames}', WARNING, mend)]


def _mp4_frames(cv2: ModuleType, path: str) -> int:
    """Write four small frames and count those that can be read back."""
    import numpy as np

    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*'mp4v'), 5, (64, 48))
    for value in (0, 80, 160, 240):
        writer.write(np.full((48, 64, 3), value, np.uint8))
    writer.release()
    reader, frames = cv2.VideoCapture(path), 0
    while reader.read()[0]:
        frames += 1
    reader.release()
    return frames


def check_folders() -> list[Finding]:
    """The folders that the tools write to can be written to."""
    findings = []
    for folder in (Path('data'), Path('work_dirs'), Path(tempfile.gettempdir())):
        existing = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        free = shutil.disk_usage(existing).free / 2**30
        try:
            with tempfile.TemporaryFile(dir=existing):
                pass
        except OSError as error:
            findings.append(Finding(str(folder), f'not writable: {error}', PROBLEM, f'chmod u+w {existing}'))
            continue
        few = WARNING if free < 2 else OK
        mend = f'df -h {existing}   (checkpoints of the full model take about 1 GB each)' if few == WARNING else ''
        findings.append(Finding(str(folder), f'writable, {free:.0f} GiB free', few, mend))
    return findings


def check_shared_memory() -> list[Finding]:
    """Data loading workers hand over batches through /dev/shm; Docker gives it 64 MB."""
    shm = Path('/dev/shm')
    if not shm.exists():
        return []
    size = shutil.disk_usage(shm).total / 2**30
    if size >= 1:
        return [Finding('/dev/shm', f'{size:.0f} GiB')]
    text = f'{size * 1024:.0f} MiB only: data loading workers may die with "Bus error"'
    mend = 'docker run --shm-size=8g ...   (or --cfg-options train_dataloader.num_workers=0)'
    return [Finding('/dev/shm', text, WARNING, mend)]


CHECKS: tuple[Callable[[], list[Finding]], ...] = (
    check_python,
    check_packages,
    check_rivals,
    check_torch_pair,
    check_opencv,
    check_kernels,
    check_mmdet_models,
    check_devices,
    check_video,
    check_folders,
    check_shared_memory,
)
