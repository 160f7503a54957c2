"""Time per training step of a preset in PyTorch on the CPU or on a GPU.

Prints one JSON object per mode. A mode is a list of words joined by '-':

  eager         ordinary eager code; Adam's loop over tensors
  foreach       eager, Adam(foreach=True)
  fused         eager, Adam(fused=True)
  compile       G and the losses under torch.compile, Adam(fused=True)
  step          the whole step, gradients and Adam included, as one compiled function

and, behind any of them:

  channels_last images and filters in NHWC order
  concat        D sees real and fake images as one batch of 2N instead of two passes; only where D has no batch norm
  frozen        D's parameters take no gradients in the G step ('step' never computes them)
  graph         on a GPU: the step is captured once and replayed as a CUDA graph; not with 'step'
  tf32          on a GPU: products and convolutions in TF32; without it float32

The step follows pytorch/examples: the G step reuses the fakes of the D step; losses are not read back. Data stay on the
device. On a GPU ten steps are timed together, between two waits for the device.
"""

import argparse
import json
import math
import statistics
import time

import torch
from presets import IMAGES, PRESETS
from torch import nn
from torch.func import functional_call
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import softplus

DENSE_MODES = ["eager", "eager-frozen", "foreach-frozen", "fused", "fused-frozen", "fused-concat-frozen",
               "compile-frozen", "compile-concat-frozen", "step", "step-concat"]
CONV_MODES = ["eager", "fused", "fused-frozen", "fused-channels_last", "fused-channels_last-frozen", "compile",
              "compile-frozen", "compile-channels_last-frozen", "step", "step-channels_last"]

CUDA_MODES = ["eager", "fused-frozen", "compile-frozen", "graph-fused-frozen", "graph-fused-frozen-tf32"]
CUDA_CONV_MODES = [*CUDA_MODES, "eager-tf32", "fused-channels_last-frozen", "graph-fused-channels_last-frozen",
                   "graph-fused-channels_last-frozen-tf32"]

WORDS = {"eager", "foreach", "fused", "compile", "step", "channels_last", "concat", "frozen", "graph", "tf32"}


def modes_of(preset, device="cpu"):
    dense, conv = (DENSE_MODES, CONV_MODES) if device == "cpu" else (CUDA_MODES, CUDA_CONV_MODES)
    return dense if preset == "seed-dense" else conv


def make_net(layers, shape, preset):
    """An nn.Sequential for inputs of `shape`: (features,) or (channels, height, width)."""
    modules = []
    for kind, *arguments in layers:
        if kind == "linear":
            out, bias = arguments
            module = nn.Linear(shape[0], out, bias=bias)
        elif kind in ("conv", "convt"):
            out, kernel, stride, padding, bias = arguments
            make = nn.Conv2d if kind == "conv" else nn.ConvTranspose2d
            module = make(shape[0], out, kernel, stride, padding, bias=bias)
        elif kind == "norm":
            make = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
            module = make(shape[0], eps=preset.norm_eps, momentum=1 - preset.norm_kept)
            module.num_batches_tracked = None
        elif kind == "reshape":
            height, width, channels = arguments
            module = nn.Unflatten(1, (channels, height, width))
        else:
            module = {"leaky": lambda: nn.LeakyReLU(0.2), "relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid,
                      "up": lambda: nn.Upsample(scale_factor=2), "pool": lambda: nn.AvgPool2d(2),
                      "flatten": nn.Flatten}[kind]()
        shape = module.eval()(torch.zeros(1, *shape)).shape[1:]
        modules.append(module)
    net = nn.Sequential(*modules).train()
    for module in net:
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            if preset.init == "glorot":
                nn.init.xavier_uniform_(module.weight)
            else:
                nn.init.normal_(module.weight, 0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif hasattr(module, "running_mean") and preset.init == "dcgan":
            nn.init.normal_(module.weight, 1, 0.02)
    return net


class Work:
    """The nets of a preset and what goes into a step."""

    def __init__(self, preset, words, batch):
        if unknown := set(words) - WORDS:
            raise ValueError(f"no such mode: {', '.join(unknown)}")
        self.preset, self.words, self.batch = preset, words, batch
        if "concat" in words and preset.d_has_norm():
            raise ValueError("concat would mix the batch norm statistics of real and fake images")
        height, width, channels = preset.image
        self.latent = preset.latent if len(preset.latent) == 1 else (preset.latent[2], *preset.latent[:2])
        self.g = make_net(preset.generator, self.latent, preset)
        self.d = make_net(preset.discriminator, (channels, height, width), preset)
        self.logits = self.d.eval()(torch.zeros(1, channels, height, width)).shape[1:]
        self.d.train()
        self.last = "channels_last" in words
        if self.last:
            self.g, self.d = (net.to(memory_format=torch.channels_last) for net in (self.g, self.d))
        shape = (height, width, channels) if self.last else (channels, height, width)
        self.images = torch.randint(0, 256, (IMAGES, *shape), dtype=torch.uint8)
        self.at = IMAGES
        self.graph = "graph" in words
        self.index = torch.arange(batch)

    def choose(self):
        """Which images the next step sees: those that follow in an epoch's order, without replacement."""
        if self.at + self.batch > IMAGES:
            self.order, self.at = torch.randperm(IMAGES, device=self.index.device), 0
        self.index.copy_(self.order[self.at : self.at + self.batch])
        self.at += self.batch

    def real(self):
        """The chosen images, scaled. A captured step cannot choose: that is done before each replay."""
        if not self.graph:
            self.choose()
        x = self.images[self.index].float().mul_(self.preset.scale)
        if self.preset.shift:
            x.add_(self.preset.shift)
        return x.permute(0, 3, 1, 2) if self.last else x

    def scores(self, logits):
        """A number per image: the mean of its logits, where D has more than one."""
        return logits.mean((1, 2, 3), keepdim=True) if self.logits.numel() > 1 else logits

    def latents(self):
        draw = torch.randn if len(self.latent) == 1 else torch.rand
        return draw(self.batch, *self.latent, device=self.index.device)


def module_step(work):
    """A step of nn.Module, autograd and torch.optim."""
    words, batch, g, d = work.words, work.batch, work.g, work.d
    compiled = "compile" in words
    rate, beta1, beta2, eps = work.preset.adam
    adam = {"lr": rate, "betas": (beta1, beta2), "eps": eps, "foreach": "foreach" in words,
            "fused": compiled or "fused" in words, "capturable": work.graph}
    g_adam, d_adam = torch.optim.Adam(g.parameters(), **adam), torch.optim.Adam(d.parameters(), **adam)
    targets = (batch, *[1] * len(work.logits))
    ones, zeros = torch.ones(targets), torch.zeros(targets)

    def scores(x):
        return work.scores(d(x))

    def d_loss(real, fake):
        if "concat" in words:
            logits = scores(torch.cat([real, fake]))
            return bce(logits[:batch], ones) + bce(logits[batch:], zeros)
        return bce(scores(real), ones) + bce(scores(fake), zeros)

    def g_loss(fake):
        return bce(scores(fake), ones)

    generate = g
    if compiled:
        generate, d_loss, g_loss = (torch.compile(f, dynamic=False) for f in (g, d_loss, g_loss))
    d_parameters = list(d.parameters())

    def d_takes_gradients(on):
        if "frozen" in words:
            for p in d_parameters:
                p.requires_grad_(on)

    def step():
        fake = generate(work.latents())
        d_takes_gradients(True)
        d_adam.zero_grad(set_to_none=True)
        d_loss(work.real(), fake.detach()).backward()
        d_adam.step()
        d_takes_gradients(False)
        g_adam.zero_grad(set_to_none=True)
        g_loss(fake).backward()
        g_adam.step()

    return step


def functional_step(work):
    """One compiled function from latents and images to updated parameters; state is passed in and updated in place."""
    words, batch = work.words, work.batch
    rate, beta1, beta2, eps = work.preset.adam
    g_state, d_state = ({k: v.detach().clone() for k, v in net.named_parameters()} for net in (work.g, work.d))
    g_running, d_running = ({k: v.clone() for k, v in net.named_buffers()} for net in (work.g, work.d))
    g_m, g_v, d_m, d_v = ({k: torch.zeros_like(v) for k, v in state.items()}
                          for state in (g_state, g_state, d_state, d_state))

    def generate(w, latents):
        return functional_call(work.g, (w, g_running), latents)

    def scores(w, x):
        return work.scores(functional_call(work.d, (w, d_running), x))

    def adam(w, m, v, gradients, t):
        scale = torch.sqrt(1 - beta2**t)
        for (k, p), grad in zip(w.items(), gradients):
            m[k].mul_(beta1).add_(grad, alpha=1 - beta1)
            v[k].mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
            p.sub_(rate * scale / (1 - beta1**t) * m[k] / (v[k].sqrt() + eps * scale))

    def d_loss(w, real, fake):
        if "concat" in words:
            logits = scores(w, torch.cat([real, fake]))
            return softplus(-logits[:batch]).mean() + softplus(logits[batch:]).mean()
        return softplus(-scores(w, real)).mean() + softplus(scores(w, fake)).mean()

    def update(g_w, d_w, latents, real, t):
        fake, g_pullback = torch.func.vjp(lambda w: generate(w, latents), g_w)
        d_gradients = torch.func.grad(d_loss)(d_w, real, fake)
        adam(d_w, d_m, d_v, d_gradients.values(), t)
        d_fake = torch.func.grad(lambda x: softplus(-scores(d_w, x)).mean())(fake)
        adam(g_w, g_m, g_v, g_pullback(d_fake)[0].values(), t)

    update = torch.compile(update, dynamic=False, fullgraph=True)
    t = torch.zeros(())

    @torch.no_grad()
    def step():
        t.add_(1)
        update(g_state, d_state, work.latents(), work.real(), t)

    return step, {"g": g_state, "d": d_state}


def captured(step, work):
    """A step as a CUDA graph, made as the notes on CUDA graphs of PyTorch's documentation say."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()

    def replay():
        work.choose()
        graph.replay()

    return replay


def measure(mode, args):
    torch._dynamo.reset()
    torch.manual_seed(1)
    words = mode.split("-")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = "tf32" in words
    torch.backends.cudnn.benchmark = args.device == "cuda"  # shapes never change
    state = None
    with torch.device(args.device):  # not while steps run: it costs time at every call
        work = Work(PRESETS[args.preset], words, args.batch)
        if "step" in work.words:
            step, state = functional_step(work)
        else:
            step = module_step(work)
    if work.graph:
        step = captured(step, work)
    wait, group = (torch.cuda.synchronize, 10) if args.device == "cuda" else (lambda: None, 1)
    warmup = args.warmup or max(3, args.steps // 10)
    for _ in range(warmup):
        step()
    times = []
    for _ in range(-(-args.steps // group)):
        wait()
        start = time.perf_counter()
        for _ in range(group):
            step()
        wait()
        times.append(1e3 * (time.perf_counter() - start) / group)
    weights = state["g"].values() if state else work.g.parameters()
    norm = math.sqrt(sum(float(w.detach().square().sum()) for w in weights))
    if not math.isfinite(norm):
        raise ArithmeticError("the generator's weights are not finite")
    median = statistics.median(times)
    return {"peer": "torch", "version": torch.__version__, "preset": args.preset, "mode": mode, "threads": args.threads,
            "device": torch.cuda.get_device_name() if args.device == "cuda" else "CPU", "batch": args.batch, "steps": args.steps, "ms_per_step_median": round(median, 4),
            "ms_per_step_min": round(min(times), 4), "images_per_s": round(1e3 * args.batch / median, 1),
            "weight_norm": round(norm, 4)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=list(PRESETS), default="seed-dense")
    parser.add_argument("--modes", help="default: all of the preset")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, help="default: by preset")
    parser.add_argument("--warmup", type=int, help="default: a tenth of the steps")
    args = parser.parse_args()
    args.steps = args.steps or PRESETS[args.preset].steps
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    for mode in args.modes.split(",") if args.modes else modes_of(args.preset, args.device):
        try:
            print(json.dumps(measure(mode, args)), flush=True)
        except Exception as error:  # a mode that this PyTorch or machine cannot run must not hide the others
            print(json.dumps({"peer": "torch", "version": torch.__version__, "preset": args.preset, "mode": mode,
                              "error": f"{type(error).__name__}: {error}"[:300]}), flush=True)


if __name__ == "__main__":
    main()
