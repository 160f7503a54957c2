"""Layers and hyper-parameters of ganforge's presets, for the peers to build.

A layer is a tuple of its kind and arguments:

  linear out bias                       norm  (batch normalisation over the channels)
  conv out kernel stride padding bias   convt, likewise, transposed
  up  (twice, nearest neighbour)        pool  (mean of 2x2)
  reshape height width channels         flatten
  leaky (slope .2), relu, tanh, sigmoid
"""

import dataclasses

IMAGES = 16384  # as in `ganforge bench`


@dataclasses.dataclass(frozen=True)
class Preset:
    generator: list
    discriminator: list
    image: tuple  # height, width, channels
    latent: tuple  # (size,) of normal numbers, or the height, width and channels of uniform ones
    scale: float  # an image is scale * byte + shift
    shift: float
    adam: tuple  # rate, beta1, beta2, eps
    norm_kept: float  # share of the running statistics that is kept
    norm_eps: float
    init: str  # "glorot", or "dcgan": N(0, .02), batch norm's scales N(1, .02)
    steps: int  # worth measuring

    def d_has_norm(self):
        return any(layer[0] == "norm" for layer in self.discriminator)


LEAKY, RELU, NORM, UP, POOL = ("leaky",), ("relu",), ("norm",), ("up",), ("pool",)


def halve(channels, bias=False):
    return ("conv", channels, 4, 2, 1, bias)


def enlarge(channels, bias=False):
    return ("convt", channels, 4, 2, 1, bias)


def dcgan(generator, discriminator, image, steps):
    return Preset(generator, discriminator, image, (100,), 1 / 127.5, -1, (2e-4, 0.5, 0.999, 1e-8), 0.9, 1e-5, "dcgan",
                  steps)


def dcgan_stack(widths, size, steps):
    """Generator and discriminator of pytorch/examples; `widths` are G's channels from 4x4 on."""
    g = [("reshape", 1, 1, 100), ("convt", widths[0], 4, 1, 0, False)]
    for width in widths[1:]:
        g += [NORM, RELU, enlarge(width)]
    g += [NORM, RELU, enlarge(3), ("tanh",)]
    d = [halve(widths[-1]), LEAKY]
    for width in reversed(widths[:-1]):
        d += [halve(width), NORM, LEAKY]
    return dcgan(g, [*d, ("conv", 1, 4, 1, 0, False)], (size, size, 3), steps)


PRESETS = {
    "seed-dense": Preset(
        [("linear", 128, True), LEAKY, NORM, ("linear", 128, True), LEAKY, NORM, ("linear", 784, True), ("tanh",),
         ("reshape", 28, 28, 1)],
        [("flatten",), ("linear", 128, True), LEAKY, ("linear", 1, True)],
        (28, 28, 1), (100,), 1 / 127.5, -1, (1e-3, 0.5, 0.999, 1e-7), 0.99, 1e-3, "glorot", 1000),
    "seed-conv": Preset(
        [("conv", 32, 3, 2, 1, True), RELU, UP, ("conv", 16, 3, 2, 1, True), RELU, UP, ("conv", 1, 3, 1, 1, True),
         ("sigmoid",)],
        [("conv", 32, 3, 2, 1, True), RELU, POOL, ("conv", 16, 3, 2, 1, True), RELU, POOL, ("conv", 1, 3, 1, 1, True)],
        (28, 28, 1), (28, 28, 1), 1 / 255, 0, (1e-3, 0.9, 0.999, 1e-7), 0.99, 1e-3, "glorot", 300),
    "dcgan-28": dcgan(
        [("linear", 7 * 7 * 128, False), ("reshape", 7, 7, 128), NORM, RELU, enlarge(64), NORM, RELU, enlarge(1, True),
         ("tanh",)],
        [halve(64, True), LEAKY, halve(128), NORM, LEAKY, ("flatten",), ("linear", 1, True)], (28, 28, 1), 60),
    "dcgan-32": dcgan_stack([256, 128, 64], 32, 30),
    "dcgan-64": dcgan_stack([512, 256, 128, 64], 64, 12),
}
