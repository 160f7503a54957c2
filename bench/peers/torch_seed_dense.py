"""Time per training step of the seed-dense GAN in PyTorch on the CPU.

Prints one JSON object per mode. A mode is a list of words joined by '-':

  eager       ordinary eager code; Adam's loop over tensors
  foreach     eager, Adam(foreach=True)
  fused       eager, Adam(fused=True)
  compile     the losses of D and of G under torch.compile, Adam(fused=True)
  step        the whole step, gradients and Adam included, as one compiled function

and, behind any of them:

  concat      D sees real and fake images as one batch of 2N instead of two passes (it has no batch norm)
  frozen      D's parameters take no gradients in the G step ('step' never computes them)

The step follows pytorch/examples: the G step reuses the fakes of the D step; losses are not read back.
"""

import argparse
import json
import statistics
import time

import torch
from torch import nn
from torch.nn.functional import batch_norm, leaky_relu, linear, softplus
from torch.nn.functional import binary_cross_entropy_with_logits as bce

LATENT, HIDDEN, PIXELS, IMAGES = 100, 128, 784, 60000
LR, BETA1, BETA2, EPS = 1e-3, 0.5, 0.999, 1e-7
BN_MOMENTUM, BN_EPS = 0.01, 1e-3  # the share of the new value, Keras's .99 the other way round
MODES = ["eager", "eager-frozen", "foreach-frozen", "fused", "fused-frozen", "fused-concat-frozen", "compile-frozen",
         "compile-concat-frozen", "step", "step-concat"]


def make_nets():
    def norm():
        return nn.BatchNorm1d(HIDDEN, eps=BN_EPS, momentum=BN_MOMENTUM)

    g = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.LeakyReLU(0.2), norm(),
                      nn.Linear(HIDDEN, HIDDEN), nn.LeakyReLU(0.2), norm(),
                      nn.Linear(HIDDEN, PIXELS), nn.Tanh())
    d = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.LeakyReLU(0.2), nn.Linear(HIDDEN, 1))
    for layer in [*g, *d]:
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    return g, d


class Batches:
    """Uint8 images in RAM, drawn without replacement in a new order each epoch and scaled to [-1, 1]."""

    def __init__(self, batch):
        self.images = torch.randint(0, 256, (IMAGES, PIXELS), dtype=torch.uint8)
        self.batch, self.at = batch, IMAGES

    def next(self):
        if self.at + self.batch > IMAGES:
            self.order, self.at = torch.randperm(IMAGES), 0
        index = self.order[self.at : self.at + self.batch]
        self.at += self.batch
        return self.images[index].float().mul_(1 / 127.5).sub_(1)


def module_step(words, batch):
    """A step of nn.Module, autograd and torch.optim."""
    g, d = make_nets()
    compiled = "compile" in words
    adam = {"lr": LR, "betas": (BETA1, BETA2), "eps": EPS, "foreach": "foreach" in words,
            "fused": compiled or "fused" in words}
    g_adam, d_adam = torch.optim.Adam(g.parameters(), **adam), torch.optim.Adam(d.parameters(), **adam)
    ones, zeros = torch.ones(batch, 1), torch.zeros(batch, 1)

    def d_loss(real, fake):
        if "concat" in words:
            logits = d(torch.cat([real, fake]))
            return bce(logits[:batch], ones) + bce(logits[batch:], zeros)
        return bce(d(real), ones) + bce(d(fake), zeros)

    def g_loss(fake):
        return bce(d(fake), ones)

    generate = g
    if compiled:
        generate, d_loss, g_loss = (torch.compile(f, dynamic=False) for f in (g, d_loss, g_loss))
    batches, d_parameters = Batches(batch), list(d.parameters())

    def d_takes_gradients(on):
        if "frozen" in words:
            for p in d_parameters:
                p.requires_grad_(on)

    def step():
        fake = generate(torch.randn(batch, LATENT))
        d_takes_gradients(True)
        d_adam.zero_grad(set_to_none=True)
        d_loss(batches.next(), fake.detach()).backward()
        d_adam.step()
        d_takes_gradients(False)
        g_adam.zero_grad(set_to_none=True)
        g_loss(fake).backward()
        g_adam.step()

    return step


def functional_step(words, batch):
    """One compiled function from latents and images to updated parameters; state is passed in and updated in place."""
    g, d = make_nets()
    g_state = {k: v.detach().clone() for k, v in g.named_parameters()}
    d_state = {k: v.detach().clone() for k, v in d.named_parameters()}
    running = {k: v.clone() for k, v in g.named_buffers() if v.is_floating_point()}
    zeros = [{k: torch.zeros_like(v) for k, v in state.items()} for state in (g_state, g_state, d_state, d_state)]
    g_m, g_v, d_m, d_v = zeros

    def generate(w, latents):
        x = latents
        for dense, norm in (("0", "2"), ("3", "5")):
            x = leaky_relu(linear(x, w[dense + ".weight"], w[dense + ".bias"]), 0.2)
            x = batch_norm(x, running[norm + ".running_mean"], running[norm + ".running_var"], w[norm + ".weight"],
                           w[norm + ".bias"], True, BN_MOMENTUM, BN_EPS)
        return torch.tanh(linear(x, w["6.weight"], w["6.bias"]))

    def discriminate(w, x):
        return linear(leaky_relu(linear(x, w["0.weight"], w["0.bias"]), 0.2), w["2.weight"], w["2.bias"])

    def adam(w, m, v, gradients, t):
        rate = LR * torch.sqrt(1 - BETA2**t) / (1 - BETA1**t)
        eps = EPS * torch.sqrt(1 - BETA2**t)
        for (k, p), grad in zip(w.items(), gradients):
            m[k].mul_(BETA1).add_(grad, alpha=1 - BETA1)
            v[k].mul_(BETA2).addcmul_(grad, grad, value=1 - BETA2)
            p.sub_(rate * m[k] / (v[k].sqrt() + eps))

    def d_loss(w, real, fake):
        if "concat" in words:
            logits = discriminate(w, torch.cat([real, fake]))
            return softplus(-logits[:batch]).mean() + softplus(logits[batch:]).mean()
        return softplus(-discriminate(w, real)).mean() + softplus(discriminate(w, fake)).mean()

    def update(g_w, d_w, latents, real, t):
        fake, g_pullback = torch.func.vjp(lambda w: generate(w, latents), g_w)
        d_gradients = torch.func.grad(d_loss)(d_w, real, fake)
        adam(d_w, d_m, d_v, d_gradients.values(), t)
        d_fake = torch.func.grad(lambda x: softplus(-discriminate(d_w, x)).mean())(fake)
        adam(g_w, g_m, g_v, g_pullback(d_fake)[0].values(), t)

    update = torch.compile(update, dynamic=False, fullgraph=True)
    batches, t = Batches(batch), torch.zeros(())

    @torch.no_grad()
    def step():
        t.add_(1)
        update(g_state, d_state, torch.randn(batch, LATENT), batches.next(), t)

    return step


def measure(mode, args):
    torch._dynamo.reset()
    torch.manual_seed(1)
    words = mode.split("-")
    step = (functional_step if "step" in words else module_step)(words, args.batch)
    for _ in range(args.warmup):
        step()
    times = []
    for _ in range(args.steps):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start))
    median = statistics.median(times)
    return {"peer": "torch", "version": torch.__version__, "mode": mode, "threads": args.threads, "batch": args.batch,
            "steps": args.steps, "ms_per_step_median": round(median, 4), "ms_per_step_min": round(min(times), 4),
            "images_per_s": round(1e3 * args.batch / median, 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--warmup", type=int, default=100)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    for mode in args.modes.split(","):
        try:
            print(json.dumps(measure(mode, args)), flush=True)
        except Exception as error:  # a mode that this PyTorch or machine cannot run must not hide the others
            print(json.dumps({"peer": "torch", "version": torch.__version__, "mode": mode,
                              "error": f"{type(error).__name__}: {error}"[:300]}), flush=True)


if __name__ == "__main__":
    main()
