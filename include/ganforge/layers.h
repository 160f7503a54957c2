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
  Initializer init = Initializer::glorot_uniform(), bias_init = Initializer::zeros();
  Value operator()(Context& context, Value x, const Activation& activation) const;
  void visit(auto&& v) { v("out_features", out_features), v("bias", bias), v("init", init), v("bias_init", bias_init); }
};
/// Convolution of images [N, H, W, C] → [N, P, Q, out_channels]; the activation that follows is fused. `kernel`,
/// `stride` and `dilation` are one number or two (vertical, horizontal); `padding` is one, two, or four (top, bottom,
/// left, right). P = ⌊(H + padding − dilation·(kernel − 1) − 1) / stride⌋ + 1.
struct Conv2d {
  static constexpr auto name = "conv2d";
  std::int64_t out_channels = 1;
  std::vector<std::int64_t> kernel = {3}, stride = {1}, padding = {0}, dilation = {1};
  std::int64_t groups = 1;
  bool bias = true;
  Initializer init = Initializer::glorot_uniform();
  Value operator()(Context& context, Value x, const Activation& activation) const;
  void visit(auto&& v) {
    v("out_channels", out_channels), v("kernel", kernel), v("stride", stride), v("padding", padding);
    v("dilation", dilation), v("groups", groups), v("bias", bias), v("init", init);
  }
};
/// Transposed convolution of images [N, H, W, C] → [N, (H − 1)·stride − padding + dilation·(kernel − 1) + 1 +
/// output_padding, …, out_channels]; the activation that follows is fused. Lists as in Conv2d.
struct ConvTranspose2d {
  static constexpr auto name = "conv_transpose2d";
  std::int64_t out_channels = 1;
  std::vector<std::int64_t> kernel = {3}, stride = {1}, padding = {0}, output_padding = {0}, dilation = {1};
  std::int64_t groups = 1;
  bool bias = true;
  Initializer init = Initializer::glorot_uniform();
  Value operator()(Context& context, Value x, const Activation& activation) const;
  void visit(auto&& v) {
    v("out_channels", out_channels), v("kernel", kernel), v("stride", stride), v("padding", padding);
    v("output_padding", output_padding), v("dilation", dilation), v("groups", groups), v("bias", bias), v("init", init);
  }
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
/// Mean over windows of images [N, H, W, C], without padding; sizes round down. `window` and `stride` are one number or
/// two (vertical, horizontal).
struct AvgPool2d {
  static constexpr auto name = "avg_pool2d";
  std::vector<std::int64_t> window = {2}, stride = {2};
  Value operator()(Context& context, Value x) const;
  void visit(auto&& v) { v("window", window), v("stride", stride); }
};
/// Maximum over such windows.
struct MaxPool2d {
  static constexpr auto name = "max_pool2d";
  std::vector<std::int64_t> window = {2}, stride = {2};
  Value operator()(Context& context, Value x) const;
  void visit(auto&& v) { v("window", window), v("stride", stride); }
};
/// [N, H, W, C] → [N, H·factor, W·factor, C], nearest or bilinear.
struct Upsample {
  static constexpr auto name = "upsample";
  std::int64_t factor = 2;
  bool bilinear = false;
  Value operator()(Context& context, Value x) const;
  void visit(auto&& v) { v("factor", factor), v("bilinear", bilinear); }
};
/// [N, H, W, C] → [N, H/factor, W/factor, C]: the adjoint of bilinear upsampling, scaled so that a constant stays.
struct Downsample {
  static constexpr auto name = "downsample";
  std::int64_t factor = 2;
  Value operator()(Context& context, Value x) const;
  void visit(auto&& v) { v("factor", factor); }
};
/// [N, H, W, C·factor²] → [N, H·factor, W·factor, C], channels in PyTorch's order.
struct PixelShuffle {
  static constexpr auto name = "pixel_shuffle";
  std::int64_t factor = 2;
  Value operator()(Context& context, Value x) const;
  void visit(auto&& v) { v("factor", factor); }
};
/// [N, H, W, C] → [N, C]
struct GlobalAvgPool {
  static constexpr auto name = "global_avg_pool";
  Value operator()(Context& context, Value x) const;
  void visit(auto&&) {}
};
/// The same, but the sum.
struct GlobalSumPool {
  static constexpr auto name = "global_sum_pool";
  Value operator()(Context& context, Value x) const;
  void visit(auto&&) {}
};
/// [N, C] → [N, shape] with shape [H, W, C]: a learned image, scaled channel by channel.
struct Basis {
  static constexpr auto name = "basis";
  std::vector<std::int64_t> shape;
  Initializer init = Initializer::normal(0, 1);
  Value operator()(Context& context, Value x) const;
  void visit(auto&& v) { v("shape", shape), v("init", init); }
};
/// Each channel of each sample; the activation that follows is fused.
struct InstanceNorm {
  static constexpr auto name = "instance_norm";
  float eps = 1e-5f;
  Initializer init = Initializer::ones();  ///< of γ; β begins at 0
  Value operator()(Context& context, Value x, const Activation& activation) const;
  void visit(auto&& v) { v("eps", eps), v("init", init); }
};
/// Each sample as a whole, [N, features] or [N, H, W, C] with γ and β by channel; the activation that follows is fused.
struct LayerNorm {
  static constexpr auto name = "layer_norm";
  float eps = 1e-5f;
  Initializer init = Initializer::ones();
  Value operator()(Context& context, Value x, const Activation& activation) const;
  void visit(auto&& v) { v("eps", eps), v("init", init); }
};
/// `groups` equal blocks of channels of each sample; the activation that follows is fused.
struct GroupNorm {
  static constexpr auto name = "group_norm";
  std::int64_t groups = 32;
  float eps = 1e-5f;
  Initializer init = Initializer::ones();
  Value operator()(Context& context, Value x, const Activation& activation) const;
  void visit(auto&& v) { v("groups", groups), v("eps", eps), v("init", init); }
};
/// In training sets a share of the numbers to zero, another one each step, and scales the others to keep the mean.
struct Dropout {
  static constexpr auto name = "dropout";
  float rate = 0.5f;
  Value operator()(Context& context, Value x) const;
  void visit(auto&& v) { v("rate", rate); }
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
/// main(x) + shortcut(x), which must have the same shape; without layers a shortcut is x.
struct Residual {
  static constexpr auto name = "residual";
  Sequential main, shortcut;
  Value operator()(Context& context, Value x) const;
  void visit(auto&& v) { v("main", main), v("shortcut", shortcut); }
};
/// [N, …] → [N, shape]
struct Reshape {
  static constexpr auto name = "reshape";
  std::vector<std::int64_t> shape;
  Value operator()(Context& context, Value x) const;
  void visit(auto&& v) { v("shape", shape); }
};

}  // namespace ganforge
