// What follows a convolution: bias, activation or mask.
#pragma once

#include "kernels/activate.h"
#include "kernels/conv2d.h"
#include "kernels/elementwise.cuh"

#include <cstdint>

namespace ganforge {

/// How the CUDA kernels of convolutions finish an element. Null pointers and `none` leave it as it is.
struct ConvFinish {
  const float* bias = nullptr;  // [channels of the result]
  const float* mask = nullptr;  // like the result
  Activation::Kind act = Activation::Kind::none;
  float slope = 0.0f;

  ConvFinish() = default;
  ConvFinish(const ConvEpilogue& epilogue, const ConvArgs& args)
      : bias(epilogue.bias ? args.bias : nullptr),
        mask(epilogue.mask ? args.mask : nullptr),
        act(epilogue.act.kind),
        slope(epilogue.act.negative_slope) {}

  /// `b` and `m` are the elements of bias and mask, of any value where those are null.
  __device__ float operator()(float value, float b, float m) const {
    if (bias) value += b;
    return mask ? value * activation_grad(act, slope, m) : activate(act, slope, value);
  }
  /// Four neighbours at once: without branches unless the activation is smooth.
  __device__ float4 operator()(float4 v, float4 b, float4 m) const {
    if (act == Activation::Kind::tanh || act == Activation::Kind::sigmoid) {
      return {(*this)(v.x, b.x, m.x), (*this)(v.y, b.y, m.y), (*this)(v.z, b.z, m.z), (*this)(v.w, b.w, m.w)};
    }
    const float below = act == Activation::Kind::none ? 1.0f : slope;
    if (bias) v.x += b.x, v.y += b.y, v.z += b.z, v.w += b.w;
    if (!mask) m = v;
    const auto scaled = [below](float x, float y) { return y > 0.0f ? x : x * below; };
    return {scaled(v.x, m.x), scaled(v.y, m.y), scaled(v.z, m.z), scaled(v.w, m.w)};
  }
  /// Whether four_at() may finish a result at `out` with so many channels.
  bool in_fours(std::int64_t channels, const float* out) const {
    return channels % 4 == 0 && fours_aligned(out) && fours_aligned(bias) && fours_aligned(mask);
  }
  /// The element at `index` of the result, in `channel`.
  __device__ float at(float value, std::int64_t index, std::int64_t channel) const {
    return (*this)(value, bias ? bias[channel] : 0.0f, mask ? mask[index] : 0.0f);
  }
  /// Four neighbours, all pointers aligned.
  __device__ float4 four_at(float4 v, std::int64_t index, std::int64_t channel) const {
    const float4 b = bias ? *reinterpret_cast<const float4*>(bias + channel) : float4{};
    const float4 m = mask ? *reinterpret_cast<const float4*>(mask + index) : float4{};
    return (*this)(v, b, m);
  }
};

/// out ← finish(out), out [rows, channels], in one launch: for algorithms that cannot do it on the way.
void launch_conv_epilogue(const CudaStream& stream, const ConvFinish& finish, float* out, std::int64_t rows,
                          std::int64_t channels);

}  // namespace ganforge
