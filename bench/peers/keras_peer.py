"""Time per training step of a preset in Keras on TensorFlow, on the CPU.

Prints one JSON object per mode. A mode is a list of words joined by '-':

  graph       the hand-written step of Keras's GAN guide under tf.function
  jit         the same with jit_compile=True (XLA)
  concat      D sees real and fake images as one batch of 2N instead of two passes; only where D has no batch norm
  k10         ten steps in one call of the compiled function, as with Keras's steps_per_execution; times are per step

The G step reuses the fakes of the D step and takes no gradients of D; losses are not read back. Images are NHWC, as
Keras has them on the CPU. Padding is Keras's "same": at stride 2 that of kernel 3 is on the far side alone, with sizes
and work as in the presets.
"""

import argparse
import json
import math
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from keras import layers
from presets import IMAGES, PRESETS

DENSE_MODES = ["graph", "graph-concat", "jit", "jit-concat", "jit-k10", "jit-concat-k10"]
CONV_MODES = ["graph", "jit", "jit-k10"]

WORDS = {"graph", "jit", "concat", "k10"}


def modes_of(preset):
    return DENSE_MODES if preset == "seed-dense" else CONV_MODES


def make_net(layer_list, shape, preset):
    weights = ("glorot_uniform" if preset.init == "glorot" else keras.initializers.RandomNormal(0, 0.02))
    scales = "ones" if preset.init == "glorot" else keras.initializers.RandomNormal(1, 0.02)
    net = keras.Sequential([keras.Input(shape)])
    for kind, *arguments in layer_list:
        if kind == "linear":
            out, bias = arguments
            net.add(layers.Dense(out, use_bias=bias, kernel_initializer=weights))
        elif kind in ("conv", "convt"):
            out, kernel, stride, padding, bias = arguments
            make = layers.Conv2D if kind == "conv" else layers.Conv2DTranspose
            net.add(make(out, kernel, stride, "same" if padding else "valid", use_bias=bias,
                         kernel_initializer=weights))
        elif kind == "norm":
            net.add(layers.BatchNormalization(momentum=preset.norm_kept, epsilon=preset.norm_eps,
                                              gamma_initializer=scales))
        elif kind == "reshape":
            net.add(layers.Reshape(arguments))
        else:
            net.add({"leaky": lambda: layers.LeakyReLU(negative_slope=0.2), "relu": layers.ReLU,
                     "tanh": lambda: layers.Activation("tanh"), "sigmoid": lambda: layers.Activation("sigmoid"),
                     "up": lambda: layers.UpSampling2D(2), "pool": lambda: layers.AveragePooling2D(2),
                     "flatten": layers.Flatten}[kind]())
    return net


def make_step(preset, words, batch):
    """Returns a function that runs `repeat` training steps, `repeat`, and the generator's weights."""
    if unknown := set(words) - WORDS:
        raise ValueError(f"no such mode: {', '.join(unknown)}")
    if "concat" in words and preset.d_has_norm():
        raise ValueError("concat would mix the batch norm statistics of real and fake images")
    repeat = 10 if "k10" in words else 1
    g = make_net(preset.generator, preset.latent, preset)
    d = make_net(preset.discriminator, preset.image, preset)
    if g.output_shape[1:] != preset.image:
        raise ValueError(f"the generator yields {g.output_shape[1:]}, not {preset.image}")
    bce = keras.losses.BinaryCrossentropy(from_logits=True)
    rate, beta1, beta2, eps = preset.adam
    adam = {"learning_rate": rate, "beta_1": beta1, "beta_2": beta2, "epsilon": eps}
    g_adam, d_adam = keras.optimizers.Adam(**adam), keras.optimizers.Adam(**adam)
    g_adam.build(g.trainable_variables)
    d_adam.build(d.trainable_variables)
    g_weights, d_weights = ([v.value for v in net.trainable_variables] for net in (g, d))
    targets = (batch, *[1] * (len(d.output_shape) - 1))
    ones, zeros = tf.ones(targets), tf.zeros(targets)
    random = np.random.default_rng(1)
    images = tf.constant(random.integers(0, 256, (IMAGES, *preset.image), np.uint8))

    def scores(x):
        logits = d(x, training=True)
        return logits if math.prod(logits.shape[1:]) == 1 else tf.reduce_mean(logits, (1, 2, 3), keepdims=True)

    def d_loss(real, fake):
        if "concat" in words:
            logits = scores(tf.concat([real, fake], 0))
            return bce(ones, logits[:batch]) + bce(zeros, logits[batch:])
        return bce(ones, scores(real)) + bce(zeros, scores(fake))

    def latents():
        draw = tf.random.normal if len(preset.latent) == 1 else tf.random.uniform
        return draw((batch, *preset.latent))

    def train(index):
        real = tf.cast(tf.gather(images, index), tf.float32) * preset.scale + preset.shift
        with tf.GradientTape(watch_accessed_variables=False) as g_tape:
            g_tape.watch(g_weights)
            fake = g(latents(), training=True)
            with tf.GradientTape(watch_accessed_variables=False) as d_tape:
                d_tape.watch(d_weights)
                loss = d_loss(real, tf.stop_gradient(fake))
            d_adam.apply(d_tape.gradient(loss, d_weights))
            loss = bce(ones, scores(fake))
        g_adam.apply(g_tape.gradient(loss, g_weights))

    @tf.function(jit_compile="jit" in words)
    def train_all(indices):
        for k in range(repeat):
            train(indices[k])

    state = {"order": None, "at": IMAGES}

    def step():
        if state["at"] + repeat * batch > IMAGES:
            state.update(order=random.permutation(IMAGES).astype(np.int32), at=0)
        at = state["at"]
        state["at"] += repeat * batch
        train_all(tf.constant(state["order"][at : at + repeat * batch].reshape(repeat, batch)))

    return step, repeat, g.trainable_variables


def measure(mode, args):
    tf.keras.utils.set_random_seed(1)
    step, repeat, weights = make_step(PRESETS[args.preset], mode.split("-"), args.batch)
    warmup = args.warmup or max(3, args.steps // 10)
    for _ in range(max(1, warmup // repeat)):
        step()
    times = []
    for _ in range(max(1, args.steps // repeat)):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start) / repeat)
    norm = math.sqrt(sum(float(tf.reduce_sum(tf.square(v.value))) for v in weights))
    if not math.isfinite(norm):
        raise ArithmeticError("the generator's weights are not finite")
    median = statistics.median(times)
    return {"peer": "keras", "version": f"{keras.__version__}/tensorflow {tf.__version__}", "preset": args.preset,
            "mode": mode, "threads": args.threads, "batch": args.batch, "steps": args.steps,
            "ms_per_step_median": round(median, 4), "ms_per_step_min": round(min(times), 4),
            "images_per_s": round(1e3 * args.batch / median, 1), "weight_norm": round(norm, 4)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=list(PRESETS), default="seed-dense")
    parser.add_argument("--modes", help="default: all of the preset")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, help="default: by preset")
    parser.add_argument("--warmup", type=int, help="default: a tenth of the steps")
    args = parser.parse_args()
    args.steps = args.steps or PRESETS[args.preset].steps
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for mode in args.modes.split(",") if args.modes else modes_of(args.preset):
        try:
            print(json.dumps(measure(mode, args)), flush=True)
        except Exception as error:  # a mode that this TensorFlow cannot run must not hide the others
            print(json.dumps({"peer": "keras", "version": keras.__version__, "preset": args.preset, "mode": mode,
                              "error": f"{type(error).__name__}: {error}"[:300]}), flush=True)


if __name__ == "__main__":
    main()
