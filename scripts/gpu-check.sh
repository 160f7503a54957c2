#!/usr/bin/env bash
# Checks ganforge on this machine's GPU and measures it: selftest, compute-sanitizer where it is installed, single ops, a
# training step of every preset, and PyTorch's beside it where a Python with it is found. Writes one report in Markdown.
#   scripts/gpu-check.sh                    from a checkout: the programs of build/release
#   share/ganforge/gpu-check.sh             from an unpacked bundle: its own programs
#   … --bin DIR      the folder of ganforge and ganforge_bench
#   … --out DIR      where report.md and the logs go (default gpu-check-DATE)
#   … --device cpu   auto, cpu or cuda (default auto: the CPU where there is no GPU, and the report says so)
#   … --steps N      training steps that are timed (default 300)
#   … --quick        few rows of everything: to see that it works
#   … --python FILE  with PyTorch (default python3)
# Exits with 1 if a check failed; the report is written all the same.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

bin= out=gpu-check-$(date +%Y%m%d-%H%M%S) device=auto steps=300 quick= python=python3
while [ $# -gt 0 ]; do
  case $1 in
    --bin | --out | --device | --steps | --python)
      [ $# -gt 1 ] || { echo "gpu-check: $1 wants a value" >&2; exit 2; }
      declare "${1#--}=$2"
      shift 2
      ;;
    --quick) quick=1; shift ;;
    -h | --help) sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    *) echo "gpu-check: unknown argument $1; see --help" >&2; exit 2 ;;
  esac
done
case $device in auto | cpu | cuda) ;; *) echo "gpu-check: --device must be auto, cpu or cuda" >&2; exit 2 ;; esac
[[ $steps =~ ^[1-9][0-9]*$ ]] || { echo "gpu-check: --steps must be a whole number from 1" >&2; exit 2; }
if [ -z "$bin" ]; then
  for bin in "$here/../../bin" "$here/../build/release"; do [ -x "$bin/ganforge" ] && break; done
fi
ganforge=$bin/ganforge bench=$bin/ganforge_bench
[ -x "$ganforge" ] || { echo "gpu-check: no $ganforge; build it, or name its folder with --bin" >&2; exit 2; }
peers=$here/peers
[ -e "$peers/compare.py" ] || peers=$here/../bench/peers

if [ $device = auto ]; then
  device=cuda
  "$ganforge" info | grep -q '^  cuda  none' && device=cpu
fi
mkdir -p "$out"
report=$out/report.md
failed=0

say() { echo "gpu-check: $*" >&2; }
code() { printf '```\n'; cat "$@"; printf '```\n'; }
value() { sed -n "s/.*\"$1\":\(\"\([^\"]*\)\"\|[^,}]*\).*/\1/p" "$2" | tr -d '"'; }

say "selftest"
selftest_result=passed
"$ganforge" selftest --device $device >"$out/selftest.txt" 2>&1 || { selftest_result=FAILED; failed=1; }

say "single ops"
bench_flags=(--device=$device --conv=auto,library,own)
[ -z "$quick" ] || bench_flags+=(--batch=2 --benchmark_min_time=0.0001 '--benchmark_filter=seed-dense|dcgan-28.*to_128')
if [ ! -x "$bench" ]; then
  echo "no $bench: configure with -DGANFORGE_BENCH=ON" >"$out/ops.txt"
elif ! "$bench" "${bench_flags[@]}" >"$out/ops.txt" 2>"$out/ops-machine.txt"; then
  cat "$out/ops-machine.txt" >>"$out/ops.txt"
  failed=1
fi
peak() { sed -n "s/^$1 peak: \([0-9.]*\) .*/\1/p" "$out/ops-machine.txt" 2>/dev/null | head -n 1; }
fma=$(peak FMA) tf32=$(peak TF32) copy=$(peak copy)

say "training steps"
# In one go after another for all presets, twice; the better of the two counts.
precisions=(fp32)
[ $device = cpu ] || [ -z "$tf32" ] || precisions+=(tf32 bf16)
for precision in "${precisions[@]:1}"; do
  "$ganforge" selftest --device $device --precision $precision >>"$out/selftest.txt" 2>&1 || { selftest_result=FAILED; failed=1; }
done
mapfile -t presets < <("$ganforge" info | awk '/^Presets/ {on = 1; next} /^$/ {on = 0} on {print $1}')
{
  echo "| preset | precision | batch | ms a step, median | minimum | images/s | launches | floor, ms | step / floor |"
  echo "|---|---|---|---|---|---|---|---|---|"
  for preset in "${presets[@]}"; do for precision in "${precisions[@]}"; do
    best=
    for round in 1 2; do
      json=$out/step-$preset-$precision-$round.json
      if ! "$ganforge" bench --device $device --preset "$preset" --precision $precision --steps "$steps" --warmup $((steps / 10 + 3)) \
        --json ${quick:+--batch 2} >"$json" 2>"$out/step.err"; then
        echo "| $preset | $precision | failed: $(tail -n 1 "$out/step.err") | | | | | | |"
        failed=1
        best=
        break
      fi
      ms=$(value ms_per_step_median "$json")
      if [ -z "$best" ] || awk "BEGIN {exit !($ms < $(value ms_per_step_median "$best"))}"; then best=$json; fi
    done
    [ -n "$best" ] || continue
    compute=${fma:-0}
    case $precision in tf32) compute=$tf32 ;; bf16) compute=0 ;; esac  # the peak of bfloat16 is not measured
    awk -v preset="$preset" -v precision=$precision -v batch="$(value batch "$best")" -v ms="$(value ms_per_step_median "$best")" \
      -v least="$(value ms_per_step_min "$best")" -v rate="$(value images_per_s "$best")" \
      -v launches="$(value launches_per_step "$best")" -v gflop="$(value gflop_per_step "$best")" \
      -v megabytes="$(value megabytes_per_step "$best")" -v peak="$compute" -v copy="${copy:-0}" 'BEGIN {
        floor = "-"; ratio = "-"
        if (peak > 0 && copy > 0) {
          compute = 1e3 * gflop / peak; memory = megabytes / copy
          least_ms = compute > memory ? compute : memory
          floor = sprintf("%.4f (%s)", least_ms, compute > memory ? "compute" : "memory"); ratio = sprintf("%.2f", ms / least_ms)
        }
        printf "| %s | %s | %d | %.4f | %.4f | %.0f | %d | %s | %s |\n", preset, precision, batch, ms, least, rate, launches, floor, ratio
      }'
  done; done
} >"$out/steps.md"
grep -q 'failed:' "$out/steps.md" && failed=1

sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null || true)
if [ $device = cuda ] && [ -n "$sanitizer" ]; then
  filters=(linear batch_norm conv2d adam discriminator_loss group_norm draws)
  [ -z "$quick" ] || filters=(adam)
  {
    echo "| tool | selftest --filter | result |"
    echo "|---|---|---|"
    for tool in memcheck racecheck initcheck; do
      for filter in "${filters[@]}"; do
        say "compute-sanitizer $tool, $filter"
        log=$out/$tool-$filter.txt
        result=clean
        "$sanitizer" --tool $tool --error-exitcode 9 "$ganforge" selftest --device cuda --filter "$filter" >"$log" 2>&1 ||
          result="FAILED: $(basename "$log")"
        echo "| $tool | $filter | $result |"
      done
    done
  } >"$out/sanitizer.md"
  grep -q FAILED "$out/sanitizer.md" && failed=1
else
  echo "compute-sanitizer was not run: $([ $device = cuda ] && echo "it is not installed" || echo "no GPU is tested")." >"$out/sanitizer.md"
fi

torch=$("$python" -c 'import torch; print(torch.__version__, "cuda" if torch.cuda.is_available() else "cpu")' 2>/dev/null || true)
if [ -z "$torch" ]; then
  echo "$python has no PyTorch: nothing to compare with." >"$out/peers.txt"
elif [ $device = cuda ] && [[ $torch != *cuda ]]; then
  echo "PyTorch ${torch% *} sees no GPU: nothing to compare with." >"$out/peers.txt"
else
  say "PyTorch ${torch% *}, by turns"
  options=(--device $device --peers torch --presets all)
  [ -z "$quick" ] || options=(--device $device --peers torch --presets seed-dense --rounds 1 --batch 8 --steps 10 --peer-steps 10)
  "$python" "$peers/compare.py" --ganforge "$ganforge" --python "$(command -v "$python")" "${options[@]}" \
    >"$out/peers.txt" 2>&1 || failed=1
fi

name=$(value device "$out/step-${presets[0]}-fp32-1.json")
{
  echo "# ganforge on ${name:-$device}"
  echo
  if [ $device = cpu ]; then echo "**No GPU was tested: these are figures of the CPU.**" && echo; fi
  echo "Made by gpu-check.sh on $(date -u +%Y-%m-%dT%H:%MZ)$([ -z "$quick" ] || echo ", with --quick: the figures say nothing")."
  echo
  { "$ganforge" info | sed '/^Presets/,$d'; echo; uname -srm; nproc | sed "s/$/ cores/"; sed "s/^/load /" /proc/loadavg
    if [ $device = cuda ] && command -v nvidia-smi >/dev/null; then
      nvidia-smi --query-gpu=name,driver_version,compute_cap,memory.total,clocks.max.sm,clocks.max.memory,power.limit --format=csv || true
    fi; } | code
  echo
  echo "## Checks"
  echo
  echo "\`ganforge selftest\`: **$selftest_result**."
  echo
  code "$out/selftest.txt"
  echo
  cat "$out/sanitizer.md"
  echo
  echo "## A training step"
  echo
  echo "By \`ganforge bench\`, the better of two runs of $steps steps. The floor is the larger of a step's operations at the measured peak"
  echo "(FMA ${fma:-?} GFLOP/s${tf32:+, TF32 products $tf32}; that of bfloat16 is not measured) and its compulsory traffic at the measured copy"
  echo "peak (${copy:-?} GB/s). Operations are nominal: Winograd convolutions can pass the floor, and so can what stays in caches."
  echo
  cat "$out/steps.md"
  echo
  echo "## Beside PyTorch"
  echo
  code "$out/peers.txt"
  echo
  echo "## Single ops"
  echo
  code "$out/ops.txt"
} >"$report"
say "$report"
exit $failed
