#!/usr/bin/env bash
# Test on a Slurm cluster, one process a GPU; each takes whole videos.
#
#   GPUS=8 bash tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of maskprop test]
#
# GPUS: processes in all, default 8. GPUS_PER_NODE: default the smaller of GPUS and 8; GPUS_PER_NODE=0 runs GPUS
# processes on CPUs. CPUS_PER_TASK: default 5. SRUN_ARGS: more arguments for srun.
set -euo pipefail
if [ $# -lt 4 ]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
CHECKPOINT=$4
shift 4
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-$(( GPUS < 8 ? GPUS : 8 ))}
CPUS_PER_TASK=${CPUS_PER_TASK:-5}
RESOURCES=(--ntasks="$GPUS" --cpus-per-task="$CPUS_PER_TASK")
if [ "$GPUS_PER_NODE" -gt 0 ]; then
    RESOURCES+=(--gres=gpu:"$GPUS_PER_NODE" --ntasks-per-node="$GPUS_PER_NODE")
fi
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(( CPUS_PER_TASK < 4 ? CPUS_PER_TASK : 4 ))}
export MASTER_PORT=${MASTER_PORT:-$(( 20000 + RANDOM % 20000 ))}
# shellcheck disable=SC2086  # SRUN_ARGS is a list of words
exec srun --partition="$PARTITION" --job-name="$JOB_NAME" "${RESOURCES[@]}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$root/tools/test.py" "$CONFIG" "$CHECKPOINT" --launcher slurm "$@"
