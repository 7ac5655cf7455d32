"""Several processes: torchrun, Slurm or MPI, with or without GPUs."""

from __future__ import annotations

import datetime
import os
import shutil
import subprocess
from typing import Any

import torch
import torch.distributed as dist

from maskprop.engine.errors import LaunchError
from maskprop.utils.processes import LAUNCHERS

DDP = 'MMDistributedDataParallel'


def setup_distributed(launcher: str, cfg: Any) -> None:
    """Prepare ``cfg`` and the process group for ``launcher``. Call it before the Runner is built.

    With GPUs mmengine's own way is left alone (NCCL, one GPU a process). Without, mmengine fails: it calls
    ``torch.cuda.set_device`` and gives DDP device ids. There the gloo process group is made here, and the
    model is wrapped without device ids.

    Args:
        launcher: 'none', 'pytorch' (torchrun), 'slurm' (srun) or 'mpi' (mpirun).
        cfg: the config; its ``launcher`` and ``model_wrapper_cfg`` are set, keys that it has already are kept.

    Raises:
        LaunchError: not started by that launcher.
    """
    if launcher not in LAUNCHERS:
        raise LaunchError(f'launcher {launcher!r}: expected one of {", ".join(LAUNCHERS)}')
    cfg.launcher = launcher
    if launcher == 'none':
        return
    _check_environment(launcher)
    if launcher == 'mpi':
        os.environ['LOCAL_RANK'] = os.environ['OMPI_COMM_WORLD_LOCAL_RANK']  # mmengine reads it but doesn't set it
    wrapper = dict(cfg.get('model_wrapper_cfg') or {})
    if wrapper.setdefault('type', DDP) == DDP:
        wrapper.setdefault('broadcast_buffers', False)
        wrapper.setdefault('find_unused_parameters', cfg.get('find_unused_parameters', False))
        if not torch.cuda.is_available():
            wrapper.setdefault('device_ids', None)
    cfg.model_wrapper_cfg = wrapper
    if not torch.cuda.is_available():
        _init_gloo(launcher, cfg.get('env_cfg', {}).get('dist_cfg', {}).get('timeout', 1800))


_NEEDED = dict(
    pytorch=('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    slurm=('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_NODELIST'),
    mpi=('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
)
_HOW = dict(
    pytorch='torchrun --nproc_per_node N -m maskprop train CONFIG --launcher pytorch (or tools/dist_train.sh)',
    slurm='srun maskprop train CONFIG --launcher slurm (or tools/slurm_train.sh)',
    mpi='mpirun -np N maskprop train CONFIG --launcher mpi, with MASTER_ADDR set',
)


def _check_environment(launcher: str) -> None:
    missing = [name for name in _NEEDED[launcher] if name not in os.environ]
    if missing:
        raise LaunchError(
            f'--launcher {launcher}: {", ".join(missing)} not set, so this was not started by that launcher. '
            f'Start it by: {_HOW[launcher]}'
        )


def _init_gloo(launcher: str, timeout: float) -> None:
    """Make the gloo process group; sets RANK, WORLD_SIZE, MASTER_ADDR ... from the launcher's variables."""
    if dist.is_available() and dist.is_initialized():
        return
    env = os.environ
    if launcher == 'slurm':
        env['RANK'], env['WORLD_SIZE'] = env['SLURM_PROCID'], env['SLURM_NTASKS']
        env['LOCAL_RANK'] = env.get('SLURM_LOCALID', '0')
        if 'MASTER_ADDR' not in env:
            env['MASTER_ADDR'] = _first_slurm_host()
    elif launcher == 'mpi':
        env['RANK'], env['WORLD_SIZE'] = env['OMPI_COMM_WORLD_RANK'], env['OMPI_COMM_WORLD_SIZE']
        if env['OMPI_COMM_WORLD_SIZE'] == env.get('OMPI_COMM_WORLD_LOCAL_SIZE'):
            env.setdefault('MASTER_ADDR', '127.0.0.1')
    env.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in env:
        raise LaunchError(f'--launcher {launcher}: MASTER_ADDR is not set. Set it to the host name of rank 0')
    dist.init_process_group('gloo', timeout=datetime.timedelta(seconds=timeout))


def _first_slurm_host() -> str:
    nodes = os.environ['SLURM_NODELIST']
    if shutil.which('scontrol'):
        command = ['scontrol', 'show', 'hostnames', nodes]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[0]
    if os.environ.get('SLURM_NNODES', os.environ.get('SLURM_JOB_NUM_NODES')) == '1':
        return '127.0.0.1'
    raise LaunchError(
        f'--launcher slurm: scontrol is not found, which tells the first host of SLURM_NODELIST={nodes}. Set '
        'MASTER_ADDR to that host name'
    )
