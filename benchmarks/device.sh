#!/usr/bin/env bash
# What steps cost on a GPU or TPU, in ten minutes at most: see benchmarks/device.py.
#
#   benchmarks/device.sh OUT                       on a GPU; Python with JAX, PyTorch and timm
#   benchmarks/device.sh OUT --miniature           the same in small, on the CPU: try it first
#   PYTHON=... TORCH_PYTHON=... PACK=packs/demo benchmarks/device.sh OUT
#
# Keras and what it needs are installed from the wheels in WHEELS (a folder) where they are missing:
# the machine need have no network. OUT gets table.txt and rows.csv, row by row as they are found.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:?usage: benchmarks/device.sh OUT [--miniature]}
shift
mkdir -p "$out"
python=${PYTHON:-python3}
if ! "$python" -c "import keras" 2>/dev/null && [ -d "${WHEELS:-}" ]; then
  site=$(mktemp -d)
  "$python" -m pip install -q --no-index --no-deps --no-compile --target "$site" "$WHEELS"/*.whl
  export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi
export XLA_PYTHON_CLIENT_PREALLOCATE=false KERAS_BACKEND=jax
export JAX_COMPILATION_CACHE_DIR=${JAX_COMPILATION_CACHE_DIR:-$(mktemp -d)}
exec "$python" benchmarks/device.py --out="$out" --pack="${PACK:-}" \
  --torch_python="${TORCH_PYTHON:-$python}" "$@"
