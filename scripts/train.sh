#!/usr/bin/env bash
# Installs what is missing, builds, and trains the default preset on Fashion-MNIST.
# Further arguments go to `ganforge train`, e.g.  scripts/train.sh --steps 2000 --seed 7
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scripts/install-deps.sh
cmake --preset release -DGANFORGE_TESTS=OFF >build.log 2>&1 || { cat build.log >&2; exit 1; }
grep -h "CUDA backend" build.log | sed 's/^-- //'
cmake --build --preset release >>build.log 2>&1 || { tail -n 30 build.log >&2; exit 1; }
rm -f build.log
exec build/release/ganforge train "$@"
