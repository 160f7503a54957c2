"""Time per training step of the seed-dense GAN in Keras on TensorFlow, on the CPU.

Prints one JSON object per mode. A mode is a list of words joined by '-':

  graph       the hand-written step of Keras's GAN guide under tf.function
  jit         the same with jit_compile=True (XLA)
  concat      D sees real and fake images as one batch of 2N instead of two passes (it has no batch norm)
  k10         ten steps in one call of the compiled function, as with Keras's steps_per_execution; times are per step

The G step reuses the fakes of the D step and takes no gradients of D; losses are not read back.
"""

import argparse
import json
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from keras import layers

LATENT, HIDDEN, PIXELS, IMAGES = 100, 128, 784, 60000
MODES = ["graph", "graph-concat", "jit", "jit-concat", "jit-k10", "jit-concat-k10"]


def make_nets():
    g = keras.Sequential([keras.Input((LATENT,)),
                          layers.Dense(HIDDEN), layers.LeakyReLU(negative_slope=0.2), layers.BatchNormalization(),
                          layers.Dense(HIDDEN), layers.LeakyReLU(negative_slope=0.2), layers.BatchNormalization(),
                          layers.Dense(PIXELS, activation="tanh")])
    d = keras.Sequential([keras.Input((PIXELS,)),
                          layers.Dense(HIDDEN), layers.LeakyReLU(negative_slope=0.2), layers.Dense(1)])
    return g, d


def make_step(words, batch):
    """Returns a function that runs `repeat` training steps, and `repeat`."""
    repeat = 10 if "k10" in words else 1
    g, d = make_nets()
    bce = keras.losses.BinaryCrossentropy(from_logits=True)
    adam = {"learning_rate": 1e-3, "beta_1": 0.5, "beta_2": 0.999, "epsilon": 1e-7}
    g_adam, d_adam = keras.optimizers.Adam(**adam), keras.optimizers.Adam(**adam)
    g_adam.build(g.trainable_variables)
    d_adam.build(d.trainable_variables)
    g_weights, d_weights = ([v.value for v in net.trainable_variables] for net in (g, d))
    ones, zeros = tf.ones((batch, 1)), tf.zeros((batch, 1))
    random = np.random.default_rng(1)
    images = tf.constant(random.integers(0, 256, (IMAGES, PIXELS), np.uint8))

    def d_loss(real, fake):
        if "concat" in words:
            logits = d(tf.concat([real, fake], 0), training=True)
            return bce(ones, logits[:batch]) + bce(zeros, logits[batch:])
        return bce(ones, d(real, training=True)) + bce(zeros, d(fake, training=True))

    def train(index):
        real = tf.cast(tf.gather(images, index), tf.float32) * (1 / 127.5) - 1
        with tf.GradientTape(watch_accessed_variables=False) as g_tape:
            g_tape.watch(g_weights)
            fake = g(tf.random.normal((batch, LATENT)), training=True)
            with tf.GradientTape(watch_accessed_variables=False) as d_tape:
                d_tape.watch(d_weights)
                loss = d_loss(real, tf.stop_gradient(fake))
            d_adam.apply(d_tape.gradient(loss, d_weights))
            loss = bce(ones, d(fake, training=True))
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

    return step, repeat


def measure(mode, args):
    tf.keras.utils.set_random_seed(1)
    step, repeat = make_step(mode.split("-"), args.batch)
    for _ in range(max(1, args.warmup // repeat)):
        step()
    times = []
    for _ in range(max(1, args.steps // repeat)):
        start = time.perf_counter()
        step()
        times.append(1e3 * (time.perf_counter() - start) / repeat)
    median = statistics.median(times)
    return {"peer": "keras", "version": f"{keras.__version__}/tensorflow {tf.__version__}", "mode": mode,
            "threads": args.threads, "batch": args.batch, "steps": args.steps,
            "ms_per_step_median": round(median, 4), "ms_per_step_min": round(min(times), 4),
            "images_per_s": round(1e3 * args.batch / median, 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", default=",".join(MODES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--warmup", type=int, default=100)
    args = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for mode in args.modes.split(","):
        try:
            print(json.dumps(measure(mode, args)), flush=True)
        except Exception as error:  # a mode that this TensorFlow cannot run must not hide the others
            print(json.dumps({"peer": "keras", "version": keras.__version__, "mode": mode,
                              "error": f"{type(error).__name__}: {error}"[:300]}), flush=True)


if __name__ == "__main__":
    main()
