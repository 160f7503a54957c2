"""Runs a program of build/cuda-ptx under the emulator and counts what each graph that it launches does."""
import json, os, subprocess, tempfile

root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def run(target, path, *arguments):
    """Builds and runs it; for each line that it prints, its fields and the counts of the graph launched for it."""
    emulator = os.path.join(root, "..", "shared", "vgpu", "vgpu")
    build = os.path.join(root, "build", "cuda-ptx")
    subprocess.run(["cmake", "--build", build, "--target", target], check=True, stdout=subprocess.DEVNULL)
    with tempfile.NamedTemporaryFile(suffix=".json") as profile:
        environment = dict(os.environ, VGPU_PROFILE=profile.name, VGPU_PROFILE_PER="graph")
        lines = subprocess.run([emulator, "run", "--", os.path.join(build, path), *arguments], check=True,
                               env=environment, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        segments = [s for s in json.load(open(profile.name))["segments"] if s["name"].startswith("graph")]
    return [(line.split("\t"), counts(segment["kernels"])) for line, segment in zip(lines, segments, strict=True)]


def counts(kernels):
    total = lambda value: sum(value(k) for k in kernels)
    requests = total(lambda k: k["shared"]["requests"])
    return {"launches": total(lambda k: k["launches"]),
            "instructions": total(lambda k: k["warp_inst"]),
            "math": total(lambda k: k["warp_inst_by_class"].get("mma") or k["warp_inst_by_class"].get("fp32", 0)),
            "bytes": 32 * total(lambda k: k["global_load"]["sectors"] + k["global_store"]["sectors"]),
            "blocks": max((k["grid"][0] * k["grid"][1] for k in kernels), default=0),
            "requests": requests,
            "wavefronts": requests + total(lambda k: k["shared"]["conflict_replays"])}


def scaled(number):
    for unit in ("", " k", " M", " G"):
        if number < 1000 or unit == " G":
            return f"{number:.3g}{unit}" if unit else f"{number:.0f}"
        number /= 1000
