#!/usr/bin/env bash
# Installs what is missing, builds, and trains the default preset on Fashion-MNIST.
# Further arguments go to `ganforge train`, e.g.  scripts/train.sh --steps 2000 --seed 7
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

(
  cd "$top"
  scripts/install-deps.sh
  mkdir -p build
  log=build/train-build.log
  echo "building (a few minutes the first time); output in $log"
  cmake --preset release -DGANFORGE_TESTS=OFF >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
  sed -n 's/^-- \(CUDA backend.*\)/\1/p' "$log"
  cmake --build --preset release >>"$log" 2>&1 || { tail -n 30 "$log" >&2; exit 1; }
)
exec "$top/build/release/ganforge" train "$@"
