#!/usr/bin/env bash
# Installs what is missing, builds and runs the tests.
#   scripts/test.sh                  preset release
#   scripts/test.sh asan             another preset (CMakePresets.json)
#   scripts/test.sh release -R op    further arguments go to ctest
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

preset=${1:-release}
shift || true
scripts/install-deps.sh --tests
# Warnings are errors here: what is tested compiles cleanly. (Under sanitizers GCC warns of loops that it cannot vectorise.)
werror=ON
[ "$preset" = asan ] && werror=OFF
cmake --preset "$preset" -DGANFORGE_TESTS=ON -DGANFORGE_WERROR=$werror
cmake --build --preset "$preset"
exec ctest --preset "$preset" "$@"
