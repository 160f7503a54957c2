#!/usr/bin/env python3
"""Times a training step of seed-dense in ganforge and in its peers by turns, and prints a table and the ratio.

Each round runs ganforge and one peer mode by turns, every run a process of its own, so that a change in the machine's
speed meets both. A mode's median is the median of its rounds' medians, its minimum the smallest of all. Run it on an
idle machine.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MODES = {"torch": ["eager", "fused-frozen", "fused-concat-frozen", "compile-frozen", "compile-concat-frozen", "step"],
         "keras": ["jit", "jit-concat", "jit-k10"]}


def environment(threads):
    env = {k: v for k, v in os.environ.items() if not k.startswith("OPENBLAS_")}
    return {**env, "OMP_NUM_THREADS": str(threads), "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}


def run_json(command, env=None):
    """The last JSON object that a command prints."""
    result = subprocess.run(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = [line for line in result.stdout.splitlines() if line.startswith("{")]
    if result.returncode or not lines:
        sys.exit(f"compare.py: {' '.join(map(str, command))} failed ({result.returncode}):\n{result.stderr[-2000:]}")
    return json.loads(lines[-1])


def ganforge(args):
    return run_json([args.ganforge, "bench", "--preset", "seed-dense", "--batch", str(args.batch),
                     "--steps", str(args.steps), "--threads", str(args.threads), "--json"])


def peer(name, mode, threads, args):
    return run_json([args.venv / "bin/python", HERE / f"{name}_seed_dense.py", "--modes", mode,
                     "--batch", str(args.batch), "--steps", str(args.peer_steps), "--threads", str(threads)],
                    environment(threads))


def table(rows, batch):
    print(f"{'who':<10}{'mode':<26}{'threads':>8}{'median ms':>11}{'min ms':>9}{'images/s':>11}")
    for (who, mode, threads), medians, minima in rows:
        median = statistics.median(medians)
        print(f"{who:<10}{mode:<26}{threads:>8}{median:>11.3f}{min(minima):>9.3f}{1e3 * batch / median:>11.0f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ganforge", type=pathlib.Path, default=ROOT / "build/release/ganforge")
    parser.add_argument("--venv", type=pathlib.Path, default=ROOT / "build/peers-venv")
    parser.add_argument("--peers", default="torch,keras")
    parser.add_argument("--torch-modes", default=",".join(MODES["torch"]))
    parser.add_argument("--keras-modes", default=",".join(MODES["keras"]))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--peer-steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--one-thread-too", action="store_true", help="run the peers with one thread as well")
    parser.add_argument("--max-load", type=float, default=0.5, help="warn above this 1-minute load")
    args = parser.parse_args()

    needed = {args.ganforge: "build ganforge first", args.venv / "bin/python": "run bench/peers/setup.sh"}
    for program, hint in needed.items():
        if not program.exists():
            sys.exit(f"compare.py: no {program}: {hint}")
    load = os.getloadavg()[0]
    print(f"1-minute load {load:.2f}")
    if load > args.max_load:
        print(f"warning: load above {args.max_load}: other programs take part, the figures will not be comparable")

    modes = {"torch": args.torch_modes, "keras": args.keras_modes}
    thread_counts = sorted({1, args.threads}) if args.one_thread_too else [args.threads]
    runs = [(name, mode, n) for name in args.peers.split(",") for mode in modes[name].split(",") for n in thread_counts]
    ours = ("ganforge", "", args.threads)
    results = {key: [] for key in [ours, *runs]}
    failed = {}
    for _ in range(args.rounds):
        for key in runs:
            if key in failed:
                continue
            results[ours].append(ganforge(args))
            result = peer(*key, args)
            if "error" in result:
                failed[key] = result["error"]
            else:
                results[key].append(result)

    rows = [(key, [r["ms_per_step_median"] for r in found], [r["ms_per_step_min"] for r in found])
            for key, found in results.items() if found]
    table(rows, args.batch)
    for (name, mode, _), error in failed.items():
        print(f"{name} {mode}: {error}")
    for name in args.peers.split(","):
        for what, field, pick in (("median", 1, statistics.median), ("minimum", 2, min)):
            measured = [(pick(row[field]), row[0]) for row in rows if row[0][0] == name]
            if measured:
                ms, (_, mode, threads) = min(measured)
                print(f"{name} / ganforge by {what}: {ms / pick(rows[0][field]):.2f} (best: {mode}, {threads} threads)")


if __name__ == "__main__":
    main()
