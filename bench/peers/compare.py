#!/usr/bin/env python3
"""Times a training step of presets in ganforge and in its peers by turns, and prints tables and ratios.

Each round runs ganforge and one peer mode by turns, every run a process of its own, so that a change in the machine's
speed meets both. A mode's median is the median of its rounds' medians, its minimum the smallest of all. A peer counts
with its best mode. Run it on an idle machine.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

from presets import PRESETS

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
DENSE_MODES = {"torch": ["eager", "fused-frozen", "fused-concat-frozen", "compile-frozen", "compile-concat-frozen",
                         "step"],
               "keras": ["jit", "jit-concat", "jit-k10"]}
CONV_MODES = {"torch": ["eager", "fused-frozen", "fused-channels_last-frozen", "compile-frozen",
                        "compile-channels_last-frozen", "step"],
              "keras": ["graph", "jit", "jit-k10"]}
CUDA_MODES = {"torch": ["eager", "fused-frozen", "graph-fused-frozen", "graph-fused-frozen-tf32"], "keras": []}
CUDA_CONV_MODES = {"torch": [*CUDA_MODES["torch"], "graph-fused-channels_last-frozen",
                             "graph-fused-channels_last-frozen-tf32"], "keras": []}
OURS = "ganforge"


class Failed(Exception):
    pass


def environment(threads, device):
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" else {}
    return {**env, "OMP_NUM_THREADS": str(threads), **hidden, "TF_CPP_MIN_LOG_LEVEL": "3"}


def run_json(command, env=None):
    """The last JSON object that a command prints."""
    result = subprocess.run(list(map(str, command)), env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode or not lines:
        raise Failed(result.stderr.strip()[-300:] or f"ended with {result.returncode}")
    found = json.loads(lines[-1])
    if "error" in found:
        raise Failed(found["error"])
    return found


def ganforge(preset, args):
    steps = args.steps or 2 * PRESETS[preset].steps
    return run_json([args.ganforge, "bench", "--preset", preset, "--batch", args.batch, "--steps", steps,
                     "--warmup", max(3, steps // 10), "--threads", args.threads, "--device", args.device, "--json"])


def peer(preset, name, mode, threads, args):
    return run_json([args.python, HERE / f"{name}_peer.py", "--preset", preset, "--modes", mode,
                     "--batch", args.batch, "--steps", args.peer_steps or PRESETS[preset].steps,
                     "--threads", threads, *(["--device", "cuda"] if args.device == "cuda" else [])],
                    environment(threads, args.device))


def modes_of(preset, args):
    chosen = {"torch": args.torch_modes, "keras": args.keras_modes}
    dense, conv = (DENSE_MODES, CONV_MODES) if args.device == "cpu" else (CUDA_MODES, CUDA_CONV_MODES)
    default = dense if preset == "seed-dense" else conv
    return [(name, mode) for name in args.peers.split(",")
            for mode in (chosen[name].split(",") if chosen[name] else default[name])]


def compare(preset, args):
    """{(who, mode, threads): (median, minimum)} in ms; what fails is reported and left out."""
    thread_counts = sorted({1, args.threads}) if args.one_thread_too else [args.threads]
    runs = [(name, mode, n) for name, mode in modes_of(preset, args) for n in thread_counts]
    ours = (OURS, "", args.threads)
    results = {key: [] for key in [ours, *runs]}
    failed = set()
    for _ in range(args.rounds):
        for key in runs:
            try:
                if key not in failed:
                    results[ours].append(ganforge(preset, args))
            except Failed as error:
                print(f"{preset}: {OURS}: {error}")
                return {}
            try:
                if key not in failed:
                    results[key].append(peer(preset, *key, args))
            except Failed as error:
                print(f"{preset}: {' '.join(map(str, key))}: {error}")
                failed.add(key)
    return {key: (statistics.median(r["ms_per_step_median"] for r in found), min(r["ms_per_step_min"] for r in found))
            for key, found in results.items() if found and key not in failed}


def best(rows, name, column):
    """The mode of a peer with the smallest median (column 0) or minimum (1)."""
    return min((key for key in rows if key[0] == name), key=lambda key: rows[key][column], default=None)


def print_preset(preset, rows, args):
    print(f"\n{preset}, batch {args.batch}")
    print(f"{'who':<10}{'mode':<30}{'threads':>8}{'median ms':>11}{'min ms':>10}{'images/s':>11}{'/ ganforge':>12}")
    ours = rows[OURS, "", args.threads][0]
    for (who, mode, threads), (median, minimum) in rows.items():
        print(f"{who:<10}{mode:<30}{threads:>8}{median:>11.3f}{minimum:>10.3f}{1e3 * args.batch / median:>11.0f}"
              f"{median / ours:>12.2f}")


def print_ratios(results, args):
    names = args.peers.split(",")
    print("\nhow many times as long as ganforge a peer's best mode takes, by median (by minimum)")
    print(f"{'preset':<12}{'ganforge ms':>12}  " + "".join(f"{name:<46}" for name in names))
    for preset, rows in results.items():
        ours = rows[OURS, "", args.threads]
        line = f"{preset:<12}{ours[0]:>12.3f}  "
        for name in names:
            cell = "-"
            if key := best(rows, name, 0):
                least = rows[best(rows, name, 1)][1]
                cell = f"{rows[key][0] / ours[0]:.2f} ({least / ours[1]:.2f})  {key[1]}, threads: {key[2]}"
            line += f"{cell:<46}"
        print(line.rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ganforge", type=pathlib.Path, default=ROOT / "build/release/ganforge")
    parser.add_argument("--python", type=pathlib.Path, default=ROOT / "build/peers-venv/bin/python",
                        help="with the peers installed")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--presets", "--preset", default="seed-dense", help=f"of {', '.join(PRESETS)}; or all")
    parser.add_argument("--peers", help="default: torch,keras; on a GPU torch, whose peer alone runs there")
    parser.add_argument("--torch-modes", help="default: the fast ones of the preset")
    parser.add_argument("--keras-modes", help="likewise")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, help="of ganforge; default: by preset")
    parser.add_argument("--peer-steps", type=int, help="likewise")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one-thread-too", action="store_true", help="run the peers with one thread as well")
    parser.add_argument("--max-load", type=float, default=0.5, help="warn above this 1-minute load")
    args = parser.parse_args()
    args.peers = args.peers or ("torch,keras" if args.device == "cpu" else "torch")

    presets = list(PRESETS) if args.presets == "all" else args.presets.split(",")
    if unknown := set(presets) - set(PRESETS):
        sys.exit(f"compare.py: unknown preset {', '.join(unknown)}; known: {', '.join(PRESETS)}")
    needed = {args.ganforge: "build ganforge first", args.python: "run bench/peers/setup.sh"}
    for program, hint in needed.items():
        if not program.exists():
            sys.exit(f"compare.py: no {program}: {hint}")
    load = os.getloadavg()[0]
    print(f"1-minute load {load:.2f}")
    if load > args.max_load:
        print(f"warning: load above {args.max_load}: other programs take part, the figures will not be comparable")

    results = {}
    for preset in presets:
        if rows := compare(preset, args):
            results[preset] = rows
            print_preset(preset, rows, args)
    if not results:
        sys.exit("compare.py: nothing was measured")
    print_ratios(results, args)


if __name__ == "__main__":
    main()
