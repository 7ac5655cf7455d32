#!/usr/bin/env bash
# Studies on a Slurm cluster: an array of jobs for each level (sets, detectors, pre-trainings, heads, tests, tables), each level
# after the one before it.
#
#   bash tools/slurm_ablate.sh PARTITION STUDY [STUDY ...] [arguments of tools/ablate.py]
#
# GPUS: GPUs and processes of each training, default 1; GPUS=0 trains on CPUs. MAX_JOBS: of an array at a time,
# default 16. CPUS_PER_TASK: default 5. SBATCH_ARGS: more arguments for sbatch, e.g. "--time=24:00:00 --qos=low".
# Jobs that are done end at once, so studies that were cut off are submitted again by the same line.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '2,9s/^# \{0,1\}//p' "$0"
    exit 2
fi
PARTITION=$1
shift
GPUS=${GPUS:-1}
CPUS_PER_TASK=${CPUS_PER_TASK:-5}
MAX_JOBS=${MAX_JOBS:-16}
PYTHON=${PYTHON:-python}
RESOURCES=(--ntasks=1 --cpus-per-task="$CPUS_PER_TASK")
if [ "$GPUS" -gt 0 ]; then
    RESOURCES+=(--gres=gpu:"$GPUS")
fi
root=$(cd "$(dirname "$0")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
COMMAND=("$PYTHON" -u "$root/tools/ablate.py" "$@" --processes "$(( GPUS > 0 ? GPUS : 1 ))")
case " $* " in
    *" --reuse-demo"*) "${COMMAND[@]}" --reuse-only ;; # once, before many jobs would
esac
# lines of: number, level, name, state
jobs=$("${COMMAND[@]}" --list-jobs | grep -E '^[0-9]+ (set|detector|pretraining|heads|test|table) ')
after=()
for level in set detector pretraining heads test table; do
    # names, as numbers change when a study is edited while jobs wait
    mapfile -t names < <(awk -v level="$level" '$2 == level {print $3}' <<<"$jobs")
    if [ ${#names[@]} -eq 0 ]; then
        continue
    fi
    range=0-$(( ${#names[@]} - 1 ))
    # the job is run by sh, which has no arrays
    wrap="set -- $(printf '%q ' "${names[@]}"); shift \$SLURM_ARRAY_TASK_ID; $(printf '%q ' "${COMMAND[@]}")--job \"\$1\""
    # shellcheck disable=SC2086  # SBATCH_ARGS is a list of words
    id=$(sbatch --parsable --partition="$PARTITION" --job-name="ablate_$level" --array="$range%$MAX_JOBS" \
        "${RESOURCES[@]}" ${after[@]+"${after[@]}"} --kill-on-invalid-dep=yes ${SBATCH_ARGS:-} --wrap "$wrap")
    echo "$level: ${#names[@]} jobs in array $id"
    after=(--dependency=afterok:"${id%%;*}")
done
