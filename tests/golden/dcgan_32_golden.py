"""Ten training steps of dcgan-32, batch 8, in PyTorch float64: writes dcgan_32.json beside this file.

As in seed_dense_golden.py, nothing random is stored: weights, latents and images follow from its integer hash u(s, i).
Arrays are numbered in ganforge's layouts, filters [K, R, S, C] (of a transposed convolution: [C_in, R, S, C_out]) and
images [N, H, W, C]:

  filters of the k-th trainable tensor   float32(0.02 * sqrt(3) * u(k, i))
  gamma                                  float32(1 + 0.02 * sqrt(3) * u(k, i));   beta 0
  latents  z[step][n][j]                 float32(sqrt(3) * u(100, (step*8 + n)*100 + j))
  images   byte[step][i]                 hash(200, step*8*3072 + i) >> (56 + (i % 3072)*5/3072);   x = byte / 127.5 - 1

Trainable tensors, k = 0..16, are the generator's, then the discriminator's, in the order of their layers; the file names
them as ganforge does. A step is the one of seed_dense_golden.py, with Adam 2e-4, betas (.5, .999), eps 1e-8, and D's
batch norm on real and generated images apart. The file: per precision the losses of the ten steps, and norm and probe of
every tensor, in ganforge's layout, after steps 1 and 10. float64 is the truth. The first steps of Adam follow the signs of
gradients, those near zero included, so rounding grows: what PyTorch's float32 differs by shows what is to be expected.
"""

import json
import pathlib

import numpy as np
import torch
from seed_dense_golden import hashed, uniform
from torch import nn
from torch.nn.functional import softplus

BATCH, LATENT, SIZE, STEPS = 8, 100, 32 * 32 * 3, 10


def latents(step):
    count = BATCH * LATENT
    z = (np.sqrt(3.0) * uniform(100, count, step * count)).astype(np.float32)
    return torch.from_numpy(z).double().reshape(BATCH, LATENT, 1, 1)


def images(step):
    count = BATCH * SIZE
    place = np.arange(count, dtype=np.uint64) % np.uint64(SIZE)
    pixels = (hashed(200, count, step * count) >> (np.uint64(56) + place * np.uint64(5) // np.uint64(SIZE))).astype(np.uint8)
    x = torch.from_numpy(pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)).double()
    return x.reshape(BATCH, 32, 32, 3).permute(0, 3, 1, 2)


def make_nets():
    def norm(channels):
        return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1)

    def up(c, k, stride=2, padding=1):
        return nn.ConvTranspose2d(c, k, 4, stride, padding, bias=False)

    def down(c, k, stride=2, padding=1):
        return nn.Conv2d(c, k, 4, stride, padding, bias=False)

    g = nn.Sequential(up(LATENT, 256, 1, 0), norm(256), nn.ReLU(), up(256, 128), norm(128), nn.ReLU(), up(128, 64), norm(64),
                      nn.ReLU(), up(64, 3), nn.Tanh())
    d = nn.Sequential(down(3, 64), nn.LeakyReLU(0.2), down(64, 128), norm(128), nn.LeakyReLU(0.2), down(128, 256), norm(256),
                      nn.LeakyReLU(0.2), down(256, 1, 1, 0))
    return g.double(), d.double()


def named(g, d):
    """(name in ganforge, tensor, whether it is trainable). Layer numbers: the generator begins with a reshape."""
    for net_name, net, first in (("generator", g, 1), ("discriminator", d, 0)):
        for i, layer in enumerate(net):
            if isinstance(layer, nn.BatchNorm2d):
                scope = f"{net_name}/{i + first}_batch_norm"
                yield f"{scope}/gamma", layer.weight, True
                yield f"{scope}/beta", layer.bias, True
                yield f"{scope}/running_mean", layer.running_mean, False
                yield f"{scope}/running_var", layer.running_var, False
            elif isinstance(layer, nn.ConvTranspose2d):
                yield f"{net_name}/{i + first}_conv_transpose2d/w", layer.weight, True
            elif isinstance(layer, nn.Conv2d):
                yield f"{net_name}/{i + first}_conv2d/w", layer.weight, True


def initialise(g, d):
    k = 0
    for name, w, trainable in named(g, d):
        if not trainable:
            continue
        values = 0.02 * np.sqrt(3.0) * uniform(k, w.numel())
        if w.ndim == 4:
            a, b, r, s = w.shape
            w.data = torch.from_numpy(values.astype(np.float32)).double().reshape(a, r, s, b).permute(0, 3, 1, 2).contiguous()
        else:
            w.data = torch.from_numpy((1 + values if name.endswith("gamma") else 0 * values).astype(np.float32)).double()
        k += 1


def summary(g, d):
    tensors = {}
    for name, w, _ in named(g, d):
        flat = (w.permute(0, 2, 3, 1) if w.ndim == 4 else w).detach().double().reshape(-1).numpy()
        tensors[name] = {"norm": float(np.sqrt(np.sum(flat**2))), "probe": float(np.sum(flat * uniform(999, flat.size)))}
    return tensors


def run(dtype):
    g, d = make_nets()
    initialise(g, d)
    g, d = g.to(dtype), d.to(dtype)
    adam = {"lr": 2e-4, "betas": (0.5, 0.999), "eps": 1e-8}
    g_adam, d_adam = torch.optim.Adam(g.parameters(), **adam), torch.optim.Adam(d.parameters(), **adam)
    result = {"d_losses": [], "g_losses": [], "after_step": {}}
    for step in range(STEPS):
        fake = g(latents(step).to(dtype))
        d_loss = softplus(-d(images(step).to(dtype))).mean() + softplus(d(fake.detach())).mean()
        d_adam.zero_grad()
        d_loss.backward()
        d_adam.step()
        g_loss = softplus(-d(fake)).mean()
        g_adam.zero_grad()
        g_loss.backward()
        g_adam.step()
        result["d_losses"].append(d_loss.item())
        result["g_losses"].append(g_loss.item())
        if step + 1 in (1, STEPS):
            result["after_step"][str(step + 1)] = summary(g, d)
    return result


def main():
    torch.set_num_threads(1)
    golden = {"torch": torch.__version__, "float64": run(torch.float64), "float32": run(torch.float32)}
    pathlib.Path(__file__).with_name("dcgan_32.json").write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
