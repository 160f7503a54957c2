// The activations of fused kernels and their derivatives, on both backends.
//
// Static, not just inline: a hot CPU kernel's file holds nothing that the linker could share with another instruction
// set (isa.h). A kind that is a constant where they are called leaves no branch behind.
#pragma once

#include <ganforge/activation.h>

#include "kernels/hd.h"

#include <math.h>

namespace ganforge {

GANFORGE_HD static inline float activate(Activation::Kind kind, float slope, float x) {
  if (kind == Activation::Kind::leaky_relu) return x > 0.0f ? x : slope * x;
  if (kind == Activation::Kind::tanh) return tanhf(x);
  if (kind == Activation::Kind::sigmoid) return 1.0f / (1.0f + expf(-x));
  return x;
}

/// The derivative, from the activation's output y.
GANFORGE_HD static inline float activation_grad(Activation::Kind kind, float slope, float y) {
  if (kind == Activation::Kind::leaky_relu) return y > 0.0f ? 1.0f : slope;
  if (kind == Activation::Kind::tanh) return 1.0f - y * y;
  if (kind == Activation::Kind::sigmoid) return y * (1.0f - y);
  return 1.0f;
}

}  // namespace ganforge
