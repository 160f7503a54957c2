// The layers. Images are NHWC; layers that take weights name them w and b.
#pragma once

#include <ganforge/conv2d.h>
#include <ganforge/layer.h>

#include <cstdint>
#include <vector>

namespace ganforge {

// Each layer lists its attributes once, in visit(v): v("name", member). `name` is its word in a model file.

/// y = x·wᵀ + b over the last axis; the activation that follows is fused.
struct Linear {
  static constexpr auto name = "linear";
  std::int64_t out_features = 1;
  bool bias = true;
  Initializer init = Initializer::glorot_uniform();
  Value operator()(Context& context, Value x, const Activation& activation) const;
  void visit(auto&& v) { v("out_features", out_features), v("bias", bias), v("init", init); }
};
/// Over all axes but the last; the activation that follows is fused.
struct BatchNorm {
  static constexpr auto name = "batch_norm";
  float momentum =
      0.99f;  ///< share of the running statistics that is kept (Keras' convention; PyTorch's 0.1 is 0.9 here)
  float eps = 1e-3f;
  Initializer init = Initializer::ones();  ///< of γ; β begins at 0
  Value operator()(Context& context, Value x, const Activation& activation) const;
  void visit(auto&& v) { v("momentum", momentum), v("eps", eps), v("init", init); }
};
struct LeakyReLU {
  static constexpr auto name = "leaky_relu";
  float negative_slope = 0.2f;
  Activation activation() const { return {Activation::Kind::leaky_relu, negative_slope}; }
  void visit(auto&& v) { v("negative_slope", negative_slope); }
};
struct ReLU {
  static constexpr auto name = "relu";
  Activation activation() const { return {Activation::Kind::leaky_relu, 0}; }
  void visit(auto&&) {}
};
struct Tanh {
  static constexpr auto name = "tanh";
  Activation activation() const { return {Activation::Kind::tanh, 0}; }
  void visit(auto&&) {}
};
struct Sigmoid {
  static constexpr auto name = "sigmoid";
  Activation activation() const { return {Activation::Kind::sigmoid, 0}; }
  void visit(auto&&) {}
};
/// [N, …] → [N, everything]
struct Flatten {
  static constexpr auto name = "flatten";
  Value operator()(Context& context, Value x) const;
  void visit(auto&&) {}
};
/// [N, …] → [N, shape]
struct Reshape {
  static constexpr auto name = "reshape";
  std::vector<std::int64_t> shape;
  Value operator()(Context& context, Value x) const;
  void visit(auto&& v) { v("shape", shape); }
};

}  // namespace ganforge
