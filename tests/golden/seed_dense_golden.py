"""Ten training steps of seed-dense, batch 16, in PyTorch float32 and float64: writes seed_dense.json beside this file.

Nothing random is stored. Weights, latents and images follow from an integer hash, so a test in any language rebuilds
them to the bit:

  mix(x)         splitmix64's output function on 64-bit unsigned integers (wrapping):
                 x += 0x9E3779B97F4A7C15;  x = (x ^ x>>30) * 0xBF58476D1CE4E5B9;  x = (x ^ x>>27) * 0x94D049BB133111EB;
                 mix = x ^ x>>31
  hash(s, i)     mix((s << 32) + i)                 stream s, element i
  u(s, i)        (hash(s, i) >> 40) / 2^23 - 1      in [-1, 1), exact in float32

  weight matrix  of the k-th tensor (k counts all trainable tensors below from 0): element i of the row-major [out, in]
                 array is float32(limit * u(k, i)), product in double, limit = sqrt(6 / (in + out)) (Glorot uniform)
  bias, beta     0;   gamma 1;   running mean 0, running variance 1
  latents        z[step][n][j] = float32(sqrt(3) * u(100, (step*16 + n)*100 + j))        (variance 1)
  images         byte[step][n][p] = hash(200, (step*16 + n)*784 + p) >> (56 + p*5/784);   x = byte / 127.5 - 1
                 (bits are dropped towards the end of an image, so that its pixels are not alike)

Trainable tensors, k = 0..13:
  g: linear w [128,100], b; batch norm gamma, beta; linear w [128,128], b; gamma, beta; linear w [784,128], b
  d: linear w [128,784], b; linear w [1,128], b
G is linear, leaky ReLU .2, batch norm, twice; linear, tanh. Batch norm keeps .99 of its running statistics, eps 1e-3,
normalises by the biased variance and files the unbiased one. D is linear, leaky ReLU .2, linear.

A step: fake = G(z); D loss = mean softplus(-D(real)) + mean softplus(D(fake)), Adam on D; then G loss =
mean softplus(-D(fake)) with the new D and the same fakes, Adam on G. Adam: 1e-3, betas (.5, .999), eps 1e-7 beside the
bias-corrected root.

The file: per precision d_losses and g_losses of the ten steps, and for every tensor after step 1 and after step 10
  norm           sqrt(sum of w[i]^2)
  probe          sum of w[i] * u(999, i): unlike the norm it notices a transposed or permuted tensor
float64 is the truth; what float32 differs by shows what a float32 implementation may differ by (norms 2e-7, probes 1e-6
of the norm). The batch is not smaller, since a unit whose inputs all have one sign over the batch has a bias gradient of
exactly zero before batch norm, and Adam would turn its rounding error into a full step.
"""

import json
import pathlib

import numpy as np
import torch
from torch import nn
from torch.nn.functional import softplus

BATCH, LATENT, HIDDEN, PIXELS, STEPS = 16, 100, 128, 784, 10


def hashed(stream, count, first=0):
    with np.errstate(over="ignore"):
        x = np.arange(first, first + count, dtype=np.uint64) + np.uint64(stream << 32) + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


def uniform(stream, count, first=0):
    return (hashed(stream, count, first) >> np.uint64(40)).astype(np.float64) / 2**23 - 1


def latents(step):
    count = BATCH * LATENT
    return (np.sqrt(3.0) * uniform(100, count, step * count)).astype(np.float32).reshape(BATCH, LATENT)


def images(step):
    count = BATCH * PIXELS
    pixel = np.arange(count, dtype=np.uint64) % np.uint64(PIXELS)
    shift = np.uint64(56) + pixel * np.uint64(5) // np.uint64(PIXELS)
    return (hashed(200, count, step * count) >> shift).astype(np.uint8).reshape(BATCH, PIXELS)


def make_nets():
    def norm():
        return nn.BatchNorm1d(HIDDEN, eps=1e-3, momentum=0.01)

    g = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.LeakyReLU(0.2), norm(),
                      nn.Linear(HIDDEN, HIDDEN), nn.LeakyReLU(0.2), norm(),
                      nn.Linear(HIDDEN, PIXELS), nn.Tanh())
    d = nn.Sequential(nn.Linear(PIXELS, HIDDEN), nn.LeakyReLU(0.2), nn.Linear(HIDDEN, 1))
    for k, w in enumerate([*g.parameters(), *d.parameters()]):
        if w.ndim == 2:
            limit = np.sqrt(6.0 / sum(w.shape))
            w.data = torch.from_numpy((limit * uniform(k, w.numel())).astype(np.float32).reshape(w.shape))
    for layer in [*g, *d]:
        if isinstance(layer, nn.Linear):
            nn.init.zeros_(layer.bias)
    return g, d


def summary(g, d):
    """Norm and probe of every trainable tensor and of the running statistics."""
    tensors = {}
    for net_name, net in (("g", g), ("d", d)):
        for name, w in net.state_dict().items():
            if w.is_floating_point():
                flat = w.detach().double().numpy().ravel()
                tensors[f"{net_name}.{name}"] = {"shape": list(w.shape), "norm": float(np.sqrt(np.sum(flat**2))),
                                                 "probe": float(np.sum(flat * uniform(999, flat.size)))}
    return tensors


def run(dtype):
    g, d = make_nets()
    g, d = g.to(dtype), d.to(dtype)
    adam = {"lr": 1e-3, "betas": (0.5, 0.999), "eps": 1e-7}
    g_adam, d_adam = torch.optim.Adam(g.parameters(), **adam), torch.optim.Adam(d.parameters(), **adam)
    d_losses, g_losses, after = [], [], {}
    for step in range(STEPS):
        real = torch.from_numpy(images(step)).to(dtype) / 127.5 - 1
        fake = g(torch.from_numpy(latents(step)).to(dtype))
        d_loss = softplus(-d(real)).mean() + softplus(d(fake.detach())).mean()
        d_adam.zero_grad()
        d_loss.backward()
        d_adam.step()
        g_loss = softplus(-d(fake)).mean()
        g_adam.zero_grad()
        g_loss.backward()
        g_adam.step()
        d_losses.append(d_loss.item())
        g_losses.append(g_loss.item())
        if step + 1 in (1, STEPS):
            after[str(step + 1)] = summary(g, d)
    return {"d_losses": d_losses, "g_losses": g_losses, "after_step": after}


def main():
    torch.set_num_threads(1)
    # The first values of each formula, for whoever rebuilds the inputs.
    inputs = {"w0": (np.sqrt(6.0 / 228) * uniform(0, 4)).astype(np.float32).tolist(),
              "z": latents(0)[0, :4].tolist(), "bytes": images(0)[0, :4].tolist(),
              "last_bytes": images(STEPS - 1)[-1, -4:].tolist()}
    golden = {"torch": torch.__version__, "inputs": inputs,
              "float64": run(torch.float64), "float32": run(torch.float32)}
    path = pathlib.Path(__file__).with_name("seed_dense.json")
    path.write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
