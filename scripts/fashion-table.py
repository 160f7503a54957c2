#!/usr/bin/env python3
"""Trains presets on Fashion-MNIST with the same budget of images, measures each with the same classifier, and prints the table of
docs/results.md, best first. What is finished is kept in the folder, so that a call that was broken off can be repeated.

  scripts/fashion-table.py                                  five presets, seeds 1 to 3, 20 epochs, into runs/fashion-table
  scripts/fashion-table.py --write                          ... and puts table and pictures into docs/
  scripts/fashion-table.py --presets seed-dense,dcgan-28 --seeds 1 --epochs 2 --n 2000 --out FOLDER
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
METRICS = [("frechet", "Fréchet", "{:.2f}"), ("kernel", "kernel", "{:.4f}"), ("precision", "precision", "{:.3f}"),
           ("recall", "recall", "{:.3f}"), ("density", "density", "{:.3f}"), ("coverage", "coverage", "{:.3f}"),
           ("class_kl", "class KL", "{:.4f}")]
BEGIN, END = "<!-- fashion-table -->", "<!-- end of fashion-table -->"


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presets", default="seed-dense,seed-conv,dcgan-28,wgan-gp-28,r3gan-small")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=20, help="passes over the data: real images that a discriminator sees")
    parser.add_argument("--n", type=int, help="samples that are measured (default that of `ganforge eval`)")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs/fashion-table"))
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, with one thread each")
    parser.add_argument("--classifier", type=pathlib.Path, help="measure with this one (default: trained in the folder)")
    parser.add_argument("--write", action="store_true", help="puts table and pictures into docs/")
    return parser.parse_args()


def run(program, *words, log=None):
    """The standard output of a command; ends the script with its message if it fails."""
    with open(log or os.devnull, "ab") as errors:
        done = subprocess.run([program, *map(str, words)], stdout=subprocess.PIPE, stderr=errors if log else subprocess.PIPE)
    if done.returncode != 0:
        said = log.read_text(errors="replace") if log else done.stderr.decode(errors="replace")
        raise RuntimeError(f"{' '.join(map(str, words))}: {said.strip().splitlines()[-1] if said.strip() else done.returncode}")
    return done.stdout.decode()


def one(program, a, classifier, preset, seed):
    """Trains and measures, unless that is done; returns what `eval` printed."""
    name = f"{preset}-{seed}-{a.epochs}"
    result, folder = a.out / f"{name}.json", a.out / name
    if not result.exists():
        shutil.rmtree(folder, ignore_errors=True)
        log = a.out / f"{name}.log"
        run(program, "train", "--preset", preset, "--data", a.data, "--seed", seed, "--epochs", a.epochs, "--device", "cpu",
            "--threads", 1, "--progress", "none", "--sample-every", 0, "--checkpoint-every", 0, "--out", folder, log=log)
        words = ["eval", next(folder.glob("0*")), "--classifier", classifier, "--device", "cpu", "--threads", 1, "--json"]
        text = run(program, *words, *(["--n", a.n] if a.n else []), log=log)
        part = result.with_suffix(".part")
        part.write_text(text)
        part.rename(result)
        print(f"{preset} seed {seed}: {text.strip()}", file=sys.stderr, flush=True)
    return json.loads(result.read_text())


def row(name, seed, values):
    cells = [form.format(values[key]) for key, _, form in METRICS]
    return f"| {name} | {seed} | " + " | ".join(cells) + " |"


def table(results, presets, seeds):
    lines = ["| preset | seed | " + " | ".join(title for _, title, _ in METRICS) + " |", "|---" * (len(METRICS) + 2) + "|"]
    mean = lambda preset: sum(results[preset, s]["frechet"] for s in seeds) / len(seeds)
    for preset in sorted(presets, key=mean):
        lines += [row(preset, s, results[preset, s]) for s in seeds]
    real = results[presets[0], seeds[0]]["real"]
    lines.append(row("*real images*", "", real))
    return lines


def about(a, results, presets, accuracy):
    first = next(iter(results.values()))
    return [f"{a.epochs} epochs of {a.data} each, so the same number of real images in every discriminator; {first['n']} samples against "
            f"{first['reference']['images']} test images. The",
            f"features are those of a classifier that `ganforge train-classifier` made (right about {100 * accuracy:.2f} % of the test images): "
            "these are no FID. *Real images* are",
            f"{first['real']['n']} held out from the training data, measured like samples: what can be reached. The best mean Fréchet distance "
            "comes first."]


def write(a, program, presets, lines):
    docs = TOP / "docs"
    pictures = []
    for preset in presets:
        picture = docs / f"fashion-{preset}.png"
        run(program, "sample", next((a.out / f"{preset}-1-{a.epochs}").glob("0*")), "--device", "cpu", "--n", 64, "--out", picture)
        pictures += [f"![64 samples of {preset}]({picture.name})", "", f"*{preset}, seed 1*", ""]
    results = docs / "results.md"
    text = results.read_text()
    section = "\n".join([BEGIN, *lines, "", "`scripts/fashion-table.py` trains and prints it: one thread a run, two runs at a time.", "",
                         *pictures[:-1], END])
    if BEGIN in text:
        text = text[: text.index(BEGIN)] + section + text[text.index(END) + len(END):]
    else:
        text = text.rstrip("\n") + "\n\n## Fashion-MNIST\n\n" + section + "\n"
    results.write_text(text)


def main():
    a = arguments()
    program = TOP / "build/release/ganforge"
    if not program.exists():
        raise RuntimeError(f"{program} is missing; scripts/train.sh builds it")
    presets, seeds = a.presets.split(","), range(1, a.seeds + 1)
    for preset in presets:
        run(program, "info", "--preset", preset)  # before hours of work: are they all there?
    a.out.mkdir(parents=True, exist_ok=True)
    classifier = a.classifier or a.out / "classifier.safetensors"
    if not classifier.exists():
        print("training the classifier", file=sys.stderr, flush=True)
        run(program, "train-classifier", a.data, "--device", "cpu", "--out", classifier, "--json", log=a.out / "classifier.log")
    jobs = [(preset, seed) for seed in seeds for preset in presets]
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        results = dict(zip(jobs, pool.map(lambda job: one(program, a, classifier, *job), jobs)))
    accuracy = results[jobs[0]]["classifier"]["test_accuracy"]
    lines = [*about(a, results, presets, accuracy), "", *table(results, presets, seeds)]
    print("\n".join(lines))
    if a.write:
        write(a, program, presets, lines)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"fashion-table.py: {error}")
