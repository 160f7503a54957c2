#!/usr/bin/env bash
# Installs the Debian/Ubuntu packages that ganforge needs and that are missing. Safe to run again.
#   scripts/install-deps.sh            to build and train
#   scripts/install-deps.sh --tests    … and to test
#   scripts/install-deps.sh --bench    … and for ganforge_bench; both may be given
set -euo pipefail

packages=(g++ cmake ninja-build pkg-config libopenblas-openmp-dev libdnnl-dev libcli11-dev libtomlplusplus-dev
          nlohmann-json3-dev libfmt-dev libeigen3-dev libpng-dev libjpeg-dev libwebp-dev zlib1g-dev dataset-fashion-mnist)
for option in "$@"; do
  case $option in
    --tests) packages+=(libgtest-dev) ;;
    --bench) packages+=(libbenchmark-dev) ;;
    *) echo "install-deps: unknown option $option" >&2; exit 1 ;;
  esac
done

missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null)" = "install ok installed" ] || missing+=("$package")
done
if [ ${#missing[@]} = 0 ]; then
  echo "packages: all there"
  exit 0
fi

echo "packages: installing ${missing[*]}"
as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "install-deps: neither root nor sudo; install as root: apt-get install ${missing[*]}" >&2; exit 1; }
  as_root=(sudo)
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
  tail -n 15 "$log" >&2
  echo "install-deps: apt-get could not install the packages above" >&2
  exit 1
fi
