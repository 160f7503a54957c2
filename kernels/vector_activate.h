// The activations of fused kernels and their derivatives, on vectors (vector_math.h).
#pragma once

#include "kernels/vector_math.h"

namespace ganforge {
namespace {

inline Floats activate(Activation act, Floats x) {
  if (act.kind == Activation::Kind::leaky_relu) return x > 0.0f ? x : act.negative_slope * x;
  if (act.kind == Activation::Kind::tanh) return tanh(x);
  if (act.kind == Activation::Kind::sigmoid) return sigmoid(x);
  return x;
}

/// d · act′, from the activation's output y.
inline Floats activation_grad(Activation act, Floats y, Floats d) {
  if (act.kind == Activation::Kind::leaky_relu) return y > 0.0f ? d : act.negative_slope * d;
  if (act.kind == Activation::Kind::tanh) return d * (1.0f - y * y);
  if (act.kind == Activation::Kind::sigmoid) return d * (y * (1.0f - y));
  return d;
}

}  // namespace
}  // namespace ganforge
