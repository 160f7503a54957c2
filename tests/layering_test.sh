#!/usr/bin/env bash
# Each folder includes only what it may: cli → gan → nn → ops → graph → core, ops → kernels → core, gan → data → graph.
# Public headers belong to the layer named below. CUDA headers stay in CUDA files.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
bad=0

# layer → layers it reaches (itself included)
declare -A reach=([core]="core" [kernels]="core kernels" [graph]="core graph" [ops]="core kernels graph ops" [data]="core graph data"
                  [nn]="core kernels graph ops nn" [gan]="core kernels graph ops nn data gan" [cli]="core kernels graph ops nn data gan cli")
declare -A header=([config]=core [error]=core [stream]=core [shape]=core [device]=core [activation]=core [adam]=core [objective]=core [penalty]=gan [schedule]=core [conv2d]=core
                   [graph]=graph [store]=graph [program]=graph [ops]=ops [downsample]=ops [data]=data [nn]=nn [layer]=nn [layers]=nn [gan]=gan [ganforge]=gan)

layer_of_include() {  # "<ganforge/x.h>" or "\"src/x/…\"" → layer, or nothing for other headers
  local name
  case $1 in
    *'<ganforge/'*) name=${1#*<ganforge/}; name=${name%%.h>*}; echo "${header[$name]:-unknown}" ;;
    *'"kernels/'*) echo kernels ;;
    *'"src/'*) name=${1#*\"src/}; echo "${name%%/*}" ;;
  esac
}

check() {  # layer file
  while IFS= read -r line; do
    local target
    target=$(layer_of_include "$line")
    [ -z "$target" ] && continue
    case " ${reach[$1]} " in *" $target "*) ;; *) echo "$2: layer '$1' may not include layer '$target': $line"; bad=1 ;; esac
  done < <(grep -h '^#include' "$2")
}

for file in kernels/*; do check kernels "$file"; done
for layer in core graph ops nn data gan cli; do
  for file in src/"$layer"/*; do check "$layer" "$file"; done
done
for name in "${!header[@]}"; do
  [ -e "include/ganforge/$name.h" ] && check "${header[$name]}" "include/ganforge/$name.h"
done

for file in $(grep -lE '#include <(cuda|cublas|cudnn)' -r include kernels src tests examples); do
  case $file in
    kernels/*.cu | kernels/*.cuh | src/core/*_cuda.cpp | src/core/cuda_*.h) ;;
    *) echo "$file: CUDA header outside the CUDA files"; bad=1 ;;
  esac
done

lines=$(cat src/graph/*.cpp src/graph/*.h | wc -l)
[ "$lines" -le 1500 ] || { echo "src/graph has $lines lines, at most 1500 are wanted"; bad=1; }
exit $bad
