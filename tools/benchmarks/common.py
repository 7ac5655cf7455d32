"""What the benchmarks share: forms timed in turns, medians and ratios with their spread, tables, files."""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import gc
import os
import platform
import resource
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from maskprop.utils.files import replace_when_done, write_json

PACKAGES = ('torch', 'torchvision', 'onedl-mmdetection', 'onedl-mmengine')
CPU_FACTS = Path('/proc/cpuinfo')  # of Linux
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


class BenchmarkError(SystemExit):
    """What was compared is not the same thing, so its times mean nothing."""


def parser(description: str | None, runs: int) -> argparse.ArgumentParser:
    """A parser with the arguments that all benchmarks have."""
    result = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument(
        '--runs', type=int, default=runs, help='rounds, after one that warms up; default: %(default)s'
    )
    result.add_argument('--threads', type=int, default=2, help='of PyTorch; default: %(default)s')
    result.add_argument('--device', default='cpu', help='cpu or cuda')
    result.add_argument('--json', type=Path, metavar='OUT', help='write the rows to this file')
    result.add_argument(
        '--doc', type=Path, metavar='PAGE', help='put the tables into this page, in place of the last'
    )
    return result


def start(args: argparse.Namespace) -> None:
    """Set the threads and print the machine."""
    if args.runs < 1:
        raise SystemExit(f'--runs {args.runs}: expected 1 or more')
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    print(machine(args))


def machine(args: argparse.Namespace) -> str:
    """One line: processor, threads, GPU if used, and versions."""
    cpu = f'{processor()}, {os.cpu_count()} cores, {args.threads} threads'
    gpu = [torch.cuda.get_device_name()] if args.device != 'cpu' else []
    versions = [f'Python {platform.python_version()}', *(f'{name} {version(name)}' for name in PACKAGES)]
    return ', '.join([*gpu, cpu, *versions])


def processor() -> str:
    """The processor's name."""
    return _cpu_fact('model name') or platform.processor() or platform.machine()


def has_bf16(device: str) -> bool:
    """Whether a device computes in bf16 itself: a GPU does, and a CPU (of Linux) whose flags say so."""
    flags = (_cpu_fact('flags') or _cpu_fact('Features')).split()
    return device != 'cpu' or not {'avx512_bf16', 'amx_bf16', 'bf16'}.isdisjoint(flags)


def _cpu_fact(name: str) -> str:
    """What Linux says of the first processor; '' if it says nothing."""
    try:
        lines = CPU_FACTS.read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(':', 1)[1].strip() for line in lines if line.startswith(name)), '')


def in_turns(
    forms: Mapping[str, Callable[[], Any]],
    runs: int,
    device: str = 'cpu',
    repeats: Mapping[str, int] | None = None,
    warm_up: bool = True,
) -> dict[str, list[float]]:
    """Seconds of each form in each of ``runs`` rounds, after one that warms up, unless the forms are warm.

    Every round runs each form, so that what else the machine does meets all alike. A form of ``repeats`` runs
    that often in a round, and the mean counts.
    """
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for index in range(0 if warm_up else 1, runs + 1):
        for name, form in forms.items():
            count = (repeats or {}).get(name, 1) if index else 1
            synchronize(device)
            begin = time.perf_counter()
            for _ in range(count):
                form()
            synchronize(device)
            if index:
                seconds[name].append((time.perf_counter() - begin) / count)
    return seconds


@contextmanager
def full_precision() -> Iterator[None]:
    """Convolutions on a GPU in float32, for checks; PyTorch's default, which is timed, is TF32."""
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed


def synchronize(device: str) -> None:
    """Wait for the GPU, if that is the device."""
    if device != 'cpu':
        torch.cuda.synchronize()


def spread(values: Sequence[float], digits: int = 3) -> str:
    """``median (least to most)``."""
    low, middle, high = (short(v, digits) for v in (min(values), statistics.median(values), max(values)))
    return middle if low == high else f'{middle} ({low} to {high})'


def short(value: float, digits: int = 3) -> str:
    """A number with so many digits, none after the point of a large one."""
    return f'{value:,.0f}' if abs(value) >= 10 ** (digits - 1) else f'{value:.{digits}g}'


def ratios(of: Sequence[float], to: Sequence[float]) -> list[float]:
    """The ratio in each round."""
    return [a / b for a, b in zip(of, to, strict=True)]


def memory_growth(form: Callable[[], Any], device: str = 'cpu') -> tuple[Any, float | None]:
    """What a form returns, and by how many MiB memory grew at most until then: resident, or a GPU's tensors.

    None where the system does not say so; Linux with glibc does.
    """
    gc.collect()
    if device != 'cpu':
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        return form(), (torch.cuda.max_memory_allocated() - before) / 2**20
    libc = ctypes.CDLL(None)
    if not hasattr(libc, 'mallopt'):
        return form(), None
    try:
        # what is freed goes back to the system at once, so that the peak is that of what is in use
        libc.mallopt(M_MMAP_THRESHOLD, 2**16)
        libc.malloc_trim(0)
        known = _forget_peak()
        before = _status('VmRSS:') if known else 0.0
        return form(), peak_memory() - before if known else None
    finally:
        libc.mallopt(M_MMAP_THRESHOLD, 2**25)  # as far as glibc itself raises them in time
        libc.mallopt(M_TRIM_THRESHOLD, 2**26)


def _forget_peak() -> bool:
    """Let the peak begin anew; False where that is not possible."""
    try:
        Path('/proc/self/clear_refs').write_text('5')
    except OSError:
        return False
    return True


def peak_memory() -> float:
    """MiB of resident memory that this process had at most so far."""
    if Path('/proc/self/status').exists():  # getrusage gives what the parent had at the start, if that is more
        return _status('VmHWM:')
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == 'darwin' else peak / 2**10


def _status(name: str) -> float:
    lines = Path('/proc/self/status').read_text(encoding='ascii', errors='replace').splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 2**10


def mebibytes(value: float | None) -> str:
    """A cell of a table: whole MiB, nothing where they are not known."""
    return '' if value is None else f'{value:.0f}'


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Lines of a Markdown table."""
    lines = [f'| {" | ".join(head)} |', '|' + '---|' * len(head)]
    return lines + [f'| {" | ".join(map(str, row))} |' for row in rows]


def finish(args: argparse.Namespace, rows: Any, lines: Sequence[str]) -> None:
    """Print the lines, and write the rows (``--json``) and the lines (``--doc``)."""
    print('\n'.join(lines))
    if args.json:
        write_json(args.json, dict(machine=machine(args), command=command(), rows=rows))
    if args.doc:
        write_section(args.doc, Path(sys.argv[0]).stem, [f'    {command()}', '', *lines, '', f'{machine(args)}.'])


def command() -> str:
    """This run's command, without the files that it writes."""
    words, kept = iter(sys.argv[1:]), []
    for word in words:
        if word in ('--json', '--doc'):
            next(words)
        elif not word.startswith(('--json=', '--doc=')):
            kept.append(word)
    return shlex.join(['python', f'tools/benchmarks/{Path(sys.argv[0]).name}', *kept])


def write_section(page: Path, name: str, lines: Sequence[str]) -> None:
    """Replace what stands between the page's lines ``<!-- NAME -->`` and ``<!-- end of NAME -->``."""
    folder = os.open(page.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # another benchmark may write its section of the page now
        _write_section(page, name, lines)
    finally:
        os.close(folder)


def _write_section(page: Path, name: str, lines: Sequence[str]) -> None:
    first, last = f'<!-- {name} -->\n', f'<!-- end of {name} -->'
    before, found, rest = page.read_text(encoding='utf-8').partition(first)
    if not found or last not in rest:
        raise SystemExit(f'{page} has no lines {first.strip()} and {last}: add them where the tables belong')
    text = before + first + '\n'.join(['', *lines, '', '']) + last + rest.partition(last)[2]
    with replace_when_done(page) as temporary:
        temporary.write_text(text, encoding='utf-8')
