// Two-dimensional convolution: the trilinear form Σ x·w·y and its three partial derivatives.
//
//   x [N, H, W, C]   w [K, R, S, C / groups]   y [N, P, Q, K]        float32, row-major
//   y[n, p, q, k] ↔ x[n, p·stride_h − pad_top + r·dilation_h, q·stride_w − pad_left + s·dilation_w, c] · w[k, r, s, c]
//
// forward: x, w → y.   input: y, w → x (a transposed convolution).   weight: x, y → w.
// Positions outside of the image count as zero; bottom and right padding follow from the sizes.
#pragma once

#include <ganforge/activation.h>
#include <ganforge/conv2d.h>
#include <ganforge/stream.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ganforge {

/// Layers whose weight gradients may share a launch.
inline constexpr int max_conv_group = 16;

enum class ConvDirection { forward, input, weight };

struct ConvShape {
  std::int64_t n, h, w, c;  // x
  std::int64_t k, r, s;     // filters: [k, r, s, c / groups]
  std::int64_t p, q;        // y: [n, p, q, k]
  std::int64_t stride_h = 1, stride_w = 1, pad_top = 0, pad_left = 0, dilation_h = 1, dilation_w = 1, groups = 1;

  std::int64_t x_size() const { return n * h * w * c; }
  std::int64_t w_size() const { return k * r * s * (c / groups); }
  std::int64_t y_size() const { return n * p * q * k; }
};

/// What is done to the result of forward and input, on its last axis (K or C channels): act(result + bias), or with
/// `mask` result ⊙ act′(m), where m, of the result's shape, is the output of the activation.
struct ConvEpilogue {
  bool bias = false;
  bool mask = false;
  Activation act = {};
  explicit operator bool() const { return bias || mask || act; }
};

struct ConvArgs {
  const float* x;  // the one that the direction makes is null
  const float* w;
  const float* y;
  float* out;
  const float* bias;  // [channels of out], or null
  const float* mask;  // like out, or null
  void* workspace;
  unsigned* tickets = nullptr;  // ConvPlan::tickets
  float* bias_grad = nullptr;   // weight: [K], the sums of y's channels; or null
};

/// A weight gradient among others of one launch: ConvPlan::group, and its own memory.
struct ConvGroupMember {
  const void* group;
  ConvArgs args;
};

/// A convolution with everything prepared that depends on sizes: `run` allocates nothing.
template <class S>
struct ConvPlan {
  std::string algorithm;      ///< "winograd F(4,2)", "oneDNN", …
  std::size_t workspace = 0;  ///< bytes, of any content, aligned to 64
  std::size_t tickets = 0;    ///< so many counters of its own, zero before the first run, and after each
  std::function<void(const S&, const ConvArgs&)> run;
  /// Weight gradients only, or empty: `group` says what run_group, which is the same function for every plan with one,
  /// needs of this plan. It launches up to max_conv_group of them at once and can make the gradients of biases, too.
  std::shared_ptr<const void> group = {};
  void (*run_group)(const S&, std::span<const ConvGroupMember>) = nullptr;

  explicit operator bool() const { return static_cast<bool>(run); }
};

/// "forward x 64×32×32×64 w 128×4×4×64 stride 2 2 …": names a convolution in ConvPolicy::chosen.
std::string describe(ConvDirection direction, const ConvShape& shape);

/// The plan that the policy says.
ConvPlan<CpuStream> plan_conv2d(const CpuStream&, ConvDirection, const ConvShape&, const ConvEpilogue&,
                                const ConvPolicy&);
ConvPlan<CudaStream> plan_conv2d(const CudaStream&, ConvDirection, const ConvShape&, const ConvEpilogue&,
                                 const ConvPolicy&);
/// All that can do it, the rule's choice first: what a measurement chooses from.
std::vector<ConvPlan<CpuStream>> conv2d_candidates(const CpuStream&, ConvDirection, const ConvShape&,
                                                   const ConvEpilogue&);
std::vector<ConvPlan<CudaStream>> conv2d_candidates(const CudaStream&, ConvDirection, const ConvShape&,
                                                    const ConvEpilogue&);

/// Plain loops, for float32 and float64 on the CPU: the oracle. No epilogue.
template <class T>
void conv2d_direct(const CpuStream& stream, ConvDirection direction, const ConvShape& shape, const T* x, const T* w,
                   const T* y, T* out);

}  // namespace ganforge
