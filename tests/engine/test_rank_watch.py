"""A process that dies or fails ends the others, which name it. Two gloo processes, as launchers start them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.xdist_group('processes'), pytest.mark.slow]
SCRIPT = """
import os, signal, sys, time
import torch, torch.distributed as dist
from mmengine.config import ConfigDict
from maskprop.engine.launch import setup_distributed
from maskprop.engine.rank_watch import watch_ranks

torch.cuda.is_available = lambda: False
setup_distributed(sys.argv[1], ConfigDict())
with watch_ranks(2.0, 'Resume.'):
    for step in range(40):
        if dist.get_rank() == 1 and step == 2 and sys.argv[2] != 'sound':
            if sys.argv[2] == 'error':
                raise ValueError('no such frame')
            os.kill(os.getpid(), signal.SIGKILL if sys.argv[2] == 'killed' else signal.SIGSTOP)
        if sys.argv[2] == 'sound' and step == 20:
            break
        time.sleep(0.1)
        dist.all_reduce(torch.zeros(1))
print('whole')
"""


def environments(launcher: str) -> list[dict[str, str]]:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    names = dict(
        pytorch=('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
        slurm=('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
        mpi=('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
    )[launcher]
    common = {**os.environ, 'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': port, 'SLURM_NODELIST': 'here'}
    return [{**common, **dict(zip(names, (str(rank), '2', str(rank)), strict=True))} for rank in range(2)]


def run(launcher: str, fault: str) -> tuple[list[int], str, float]:
    """Exit statuses, what process 0 said, seconds after the other was there."""
    command = [sys.executable, '-c', SCRIPT, launcher, fault]
    pipe = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    first, second = (subprocess.Popen(command, env=env, **pipe) for env in environments(launcher))
    try:
        if fault == 'killed':
            second.wait(timeout=200)
        start = time.monotonic()
        said = first.communicate(timeout=200)[0]
        seconds = time.monotonic() - start
        if fault == 'stopped':
            second.send_signal(signal.SIGKILL)
        second.wait(timeout=60)
    finally:
        for process in (first, second):
            process.kill()
    return [first.returncode, second.returncode], said, seconds


@pytest.mark.parametrize('launcher, fault', [('slurm', 'killed'), ('mpi', 'stopped'), ('pytorch', 'error')])
def test_the_others_end_and_name_it(launcher, fault):
    codes, said, seconds = run(launcher, fault)
    lines = [line for line in said.splitlines() if line.startswith('process 0: error: process 1')]
    assert lines, said
    line = lines[0]
    wanted = 'ended with an error: ValueError: no such frame' if fault == 'error' else 'no sign of life for 2 s'
    assert wanted in line and line.endswith('Resume.') and codes[0] == 1
    assert 'Traceback' not in said and 'whole' not in said
    assert seconds < 60 or fault != 'killed'


def test_a_sound_run_ends_as_without():
    codes, said, _ = run('pytorch', 'sound')
    assert codes == [0, 0] and 'whole' in said and 'error' not in said
