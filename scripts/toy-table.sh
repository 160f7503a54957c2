#!/usr/bin/env bash
# Trains the preset toy-2d on both mixtures with ten seeds, one thread a run and two runs at a time, and prints the table of
# docs/results.md. What is finished is kept in the folder, so that a call that was broken off can be repeated.
#   scripts/toy-table.sh                         ring8 and grid25, seeds 1 to 10, into runs/toy-table
#   scripts/toy-table.sh --seeds 3 --out FOLDER --steps 5000
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

seeds=10 out=runs/toy-table steps=() jobs=2
while [ $# -gt 0 ]; do
  case $1 in
    --seeds) seeds=$2 ;;
    --out) out=$2 ;;
    --steps) steps=(--steps "$2") ;;
    --jobs) jobs=$2 ;;
    *) echo "toy-table.sh: unknown argument '$1'; --seeds N, --out FOLDER, --steps N, --jobs N" >&2; exit 2 ;;
  esac
  shift 2
done
program=$top/build/release/ganforge
[ -x "$program" ] || { echo "toy-table.sh: $program is missing; scripts/train.sh builds it" >&2; exit 1; }
mkdir -p "$out"

one() {  # data seed: a line of JSON in $out/DATA-SEED.json
  local name=$1-$2
  [ -s "$out/$name.json" ] && return
  rm -rf "${out:?}/$name"
  "$program" train --preset toy-2d --data "$1" --seed "$2" "${steps[@]}" --device cpu --threads 1 --progress none \
    --sample-every 0 --checkpoint-every 0 --out "$out/$name" >"$out/$name.log"
  "$program" eval "$out/$name"/0* --device cpu --threads 1 --json >"$out/$name.part"
  mv "$out/$name.part" "$out/$name.json"
}

running=0
for data in ring8 grid25; do
  for seed in $(seq "$seeds"); do
    if [ "$running" -ge "$jobs" ]; then wait -n; running=$((running - 1)); fi
    one "$data" "$seed" &
    running=$((running + 1))
  done
done
while [ "$running" -gt 0 ]; do wait -n; running=$((running - 1)); done

printf '| data | seed | modes | high quality | reverse KL | sigma ratio |\n|---|---|---|---|---|---|\n'
for data in ring8 grid25; do
  for seed in $(seq "$seeds"); do
    sed -E "s/.*\"modes\":([0-9]+),\"high_quality\":([0-9.e-]+),\"reverse_kl\":([0-9.e-]+),\"sigma_ratio\":([0-9.e-]+),\"n\".*/\1 \2 \3 \4/" \
      "$out/$data-$seed.json" | LC_ALL=C awk -v d="$data" -v s="$seed" '{printf "| %s | %s | %d | %.2f %% | %.4f | %.3f |\n", d, s, $1, 100 * $2, $3, $4}'
  done
done
