#!/usr/bin/env bash
# The wheel, and it alone, in an empty environment and an empty folder: help, an import, a set, a training of some
# steps, a video. Needs the network once, for the requirements. PYTHON=python3.12 tests/wheel.sh [FOLDER for the wheel]
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
out=$(realpath -m "${1:-$root/dist}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

echo "Building the wheel into $out."
"${PYTHON:-python3}" -m venv "$work/venv"
pip() { "$work/venv/bin/python" -m pip "$@"; }
pip wheel --quiet --no-deps --wheel-dir "$out" "$root"
pip install --quiet "$out"/maskprop-*.whl

mkdir "$work/empty"
cd "$work/empty"
unset PYTHONPATH
export PATH="$work/venv/bin:$PATH"
maskprop doctor --mend-opencv
maskprop --help
maskprop configs ls >/dev/null
python -c 'import maskprop; maskprop.register_all(); print(maskprop.__version__, maskprop.__file__)'

config=masktrack_rcnn_tiny_synthetic
maskprop synthetic data/synthetic --videos 2 --val-videos 1 --frames 6 --workers 1 --no-report
maskprop train "$config" --cfg-options train_cfg.max_epochs=1 train_dataloader.sampler.samples_per_epoch=8
video=$(find data/synthetic/JPEGImages -mindepth 1 -type d | sort | tail -n 1)
maskprop infer "$config" "work_dirs/$config/epoch_1.pth" "$video" --out out
test -s out/results.json || { ls -R out; echo 'maskprop infer left no results.json'; exit 1; }
echo 'The wheel works.'
