#!/bin/sh
# What a GPU does with this project, against the CPU, in one call of under ten minutes without network:
#
#     benchmarks/gpu_check.sh OUT [--short] [--device cpu]
#
# OUT gets gpu_check.json and gpu_check.md. PYTHON is a Python with torch (default: python3). Packages that it lacks are
# installed from the wheels in WHEELS (default: the folder wheels), which `pip download --dest wheels .` fills elsewhere.
set -eu
out=$(realpath -m "${1:?usage: benchmarks/gpu_check.sh OUT [--short] [--device cpu]}")
shift
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
wheels=${WHEELS:-wheels}
if test -d "$wheels"; then
    "$python" -m pip install --quiet --no-index --find-links "$wheels" "$wheels"/*.whl
fi
exec "$python" -m benchmarks.gpu_check --out "$out" "$@"
