from __future__ import annotations

import os

import pytest
import torch
import torch.distributed as dist
from mmengine.config import ConfigDict

from maskprop.engine import launch
from maskprop.engine.launch import LaunchError, setup_distributed

SLURM = dict(SLURM_PROCID='3', SLURM_NTASKS='4', SLURM_NODELIST='node[7-8]', SLURM_LOCALID='1')
MPI = dict(OMPI_COMM_WORLD_RANK='3', OMPI_COMM_WORLD_SIZE='4', OMPI_COMM_WORLD_LOCAL_RANK='1')
SET = ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT')


@pytest.fixture
def environment(monkeypatch):
    """No launcher's variables, no GPU; what is set is taken back, and the process group is not made."""
    for name in (*SET, *SLURM, *MPI, 'SLURM_NNODES', 'SLURM_JOB_NUM_NODES'):
        monkeypatch.setenv(name, '')
        monkeypatch.delenv(name)
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    backends = []
    monkeypatch.setattr(dist, 'init_process_group', lambda backend, **kwargs: backends.append(backend))
    monkeypatch.setattr(launch.shutil, 'which', lambda name: None)
    return backends


def test_without_launcher_nothing_is_set_up(environment):
    cfg = ConfigDict()
    setup_distributed('none', cfg)
    assert cfg == dict(launcher='none') and not environment


def test_slurm_on_cpus(environment, monkeypatch):
    for name, value in dict(SLURM, SLURM_NNODES='1').items():
        monkeypatch.setenv(name, value)
    cfg = ConfigDict(model_wrapper_cfg=dict(find_unused_parameters=True))
    setup_distributed('slurm', cfg)
    assert environment == ['gloo']
    assert [os.environ[name] for name in SET] == ['3', '4', '1', '127.0.0.1', '29500']
    assert cfg.model_wrapper_cfg == dict(
        type='MMDistributedDataParallel', broadcast_buffers=False, find_unused_parameters=True, device_ids=None
    )


def test_slurm_on_several_hosts_needs_the_first_ones_name(environment, monkeypatch):
    for name, value in dict(SLURM, SLURM_NNODES='2').items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LaunchError, match=r'node\[7-8\].*MASTER_ADDR'):
        setup_distributed('slurm', ConfigDict())


def test_mpi_needs_a_master(environment, monkeypatch):
    for name, value in MPI.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(LaunchError, match='MASTER_ADDR'):
        setup_distributed('mpi', ConfigDict())
    monkeypatch.setenv('MASTER_ADDR', 'node7')
    setup_distributed('mpi', ConfigDict())
    assert [os.environ[name] for name in SET] == ['3', '4', '1', 'node7', '29500']


def test_with_gpus_mmengine_makes_the_process_group(environment, monkeypatch):
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    for name in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'):
        monkeypatch.setenv(name, '1')
    cfg = ConfigDict()
    setup_distributed('pytorch', cfg)
    assert not environment and 'device_ids' not in cfg.model_wrapper_cfg


def test_other_wrappers_are_left_as_they_are(environment, monkeypatch):
    for name, value in dict(RANK='0', WORLD_SIZE='1', LOCAL_RANK='0', MASTER_ADDR='localhost').items():
        monkeypatch.setenv(name, value)
    cfg = ConfigDict(model_wrapper_cfg=dict(type='MMFullyShardedDataParallel'))
    setup_distributed('pytorch', cfg)
    assert cfg.model_wrapper_cfg == dict(type='MMFullyShardedDataParallel')


@pytest.mark.parametrize(
    ('launcher', 'message'),
    [
        ('pytorch', 'LOCAL_RANK not set.*dist_train.sh'),
        ('slurm', 'srun'),
        ('mpi', 'mpirun'),
        ('ray', 'expected one of'),
    ],
)
def test_the_wrong_launcher_is_explained(environment, launcher, message):
    with pytest.raises(LaunchError, match=message):
        setup_distributed(launcher, ConfigDict())
