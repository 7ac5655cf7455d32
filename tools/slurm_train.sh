#!/usr/bin/env bash
# Train on a Slurm cluster, one process a GPU.
#
#   GPUS=16 GPUS_PER_NODE=8 bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [arguments of maskprop train]
#
# GPUS: processes in all, default 8. GPUS_PER_NODE: default the smaller of GPUS and 8; GPUS_PER_NODE=0 trains GPUS
# processes on CPUs. CPUS_PER_TASK: default 5. SRUN_ARGS: more arguments for srun, e.g. "--time=24:00:00 --qos=low".
# It passes --resume, so a job that was preempted or ran out of time is submitted again by the same line.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0"
    exit 2
fi
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
shift 3
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-$(( GPUS < 8 ? GPUS : 8 ))}
CPUS_PER_TASK=${CPUS_PER_TASK:-5}
RESOURCES=(--ntasks="$GPUS" --cpus-per-task="$CPUS_PER_TASK")
if [ "$GPUS_PER_NODE" -gt 0 ]; then
    RESOURCES+=(--gres=gpu:"$GPUS_PER_NODE" --ntasks-per-node="$GPUS_PER_NODE")
fi
RESUME=(--resume)
for argument in "$@"; do
    case $argument in --resume | --resume=*) RESUME=() ;; esac
done
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
# Data workers are processes of their own; threads of the main one beyond a few only wait.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(( CPUS_PER_TASK < 4 ? CPUS_PER_TASK : 4 ))}
# A port of its own, so that two jobs can share a node.
export MASTER_PORT=${MASTER_PORT:-$(( 20000 + RANDOM % 20000 ))}
# shellcheck disable=SC2086  # SRUN_ARGS is a list of words
exec srun --partition="$PARTITION" --job-name="$JOB_NAME" "${RESOURCES[@]}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "${PYTHON:-python}" -u "$root/tools/train.py" "$CONFIG" --launcher slurm \
    ${RESUME[@]+"${RESUME[@]}"} "$@"
