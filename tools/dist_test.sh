#!/usr/bin/env bash
# Test on several processes of this machine, or of several machines; each takes whole videos.
#
#   bash tools/dist_test.sh CONFIG CHECKPOINT NPROC [arguments of maskprop test]
#
# Several machines: run it on each with NNODES, NODE_RANK (0, 1, ...) and MASTER_ADDR (host name of node 0) set.
# PORT: of node 0, default 29500. OMP_NUM_THREADS: CPU threads of a process, default cores / NPROC.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '2,7s/^# \{0,1\}//p' "$0"
    exit 2
fi
CONFIG=$1
CHECKPOINT=$2
NPROC=$3
shift 3
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$(( ($(nproc) + NPROC - 1) / NPROC ))}
exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$NPROC" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    "$root/tools/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "$@"
