"""Settings of every test: one thread each, because small operations on several stall when the machine is busy."""

import os

for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS'):  # inherited by the processes that tests start
    os.environ[name] = '1'

import torch  # noqa: E402  after the environment is set

torch.set_num_threads(1)
