// Activations that fused kernels apply on the fly.
#pragma once

namespace ganforge {

/// Every kind can be differentiated from its output alone: leaky_relu by sign(y) (its slope is positive or zero),
/// tanh by 1 − y², sigmoid by y(1 − y).
struct Activation {
  enum class Kind { none, leaky_relu, tanh, sigmoid };
  Kind kind = Kind::none;
  float negative_slope = 0.0f;  ///< leaky_relu alone; zero is ReLU

  /// The derivative is piecewise constant: it has no derivative of its own.
  bool piecewise_linear() const { return kind == Kind::none || kind == Kind::leaky_relu; }
  explicit operator bool() const { return kind != Kind::none; }
  friend bool operator==(const Activation&, const Activation&) = default;
};

}  // namespace ganforge
