#include "kernels/adam.h"

#include "src/core/cuda_check.h"

#include <algorithm>
#include <cmath>

namespace ganforge {
namespace {

constexpr int threads_per_block = 256;
constexpr int blocks_per_multiprocessor = 8;

struct Corrections {
  float step;               // lr/(1−β₁^t')
  float rsqrt_correction2;  // 1/√(1−β₂^t')
};

/// Four elements from 4·i on, weights and gradients: notes the distance of their line from the end where one is not
/// finite.
__device__ void watch(float4 w, float4 g, std::int64_t i, const AdamArgs& args) {
  // A sum that overflows is looked at more closely.
  if ((w.x + w.y + w.z + w.w + g.x + g.y + g.z + g.w) * 0.0f == 0) return;
  const auto finite = [](float4 x) { return isfinite(x.x) && isfinite(x.y) && isfinite(x.z) && isfinite(x.w); };
  const auto distance = static_cast<unsigned>(args.n / bad_line - 4 * i / bad_line);
  if (!finite(w)) atomicMax(args.ticket + 1, distance);
  if (!finite(g)) atomicMax(args.ticket + 2, distance);
}

// Grid-stride over float4: 28 bytes a parameter (36 with EMA), full sectors, one launch; four loads of 16 bytes in
// flight a thread. Thread 0 computes the bias corrections of its block from the device's t. At the end each block takes
// a ticket: the last one advances t, since new_t may be t, and publishes what the others found not to be finite.
// 1 − βᵗ = −expm1(t·ln β) is exact to a few ulp in float.
// No __restrict__: outputs may be the inputs; a thread reads its elements before it writes them.
template <bool with_ema>
__global__ void adam_kernel(const AdamArgs args, float log_beta1, float log_beta2) {
  __shared__ Corrections shared;
  if (threadIdx.x == 0) {
    const float t = *args.t + 1.0f;
    shared.step = *args.lr / -expm1f(t * log_beta1);
    shared.rsqrt_correction2 = 1.0f / sqrtf(-expm1f(t * log_beta2));
  }
  __syncthreads();
  const Corrections corrections = shared;
  const float lr = *args.lr;
  const float one_minus_beta1 = 1.0f - args.beta1, one_minus_beta2 = 1.0f - args.beta2;
  const float one_minus_decay = 1.0f - args.ema_decay;

  const std::int64_t stride = std::int64_t(gridDim.x) * threads_per_block;
  for (std::int64_t i = std::int64_t(blockIdx.x) * threads_per_block + threadIdx.x; i < args.n / 4; i += stride) {
    float4 w = reinterpret_cast<const float4*>(args.w)[i];
    const float4 g = reinterpret_cast<const float4*>(args.g)[i];
    float4 m = reinterpret_cast<const float4*>(args.m)[i];
    float4 v = reinterpret_cast<const float4*>(args.v)[i];
    float4 ema;
    if constexpr (with_ema) ema = reinterpret_cast<const float4*>(args.ema)[i];

    watch(w, g, i, args);

    float step = corrections.step, keep = 1.0f;
    int s = 0;
    while (s < args.segments && 4 * i >= args.segment[s].end) ++s;
    if (s < args.segments) {
      step *= args.segment[s].lr_scale;
      keep -= lr * args.segment[s].lr_scale * args.segment[s].decay;
    }
    const auto update = [&](float& w, float g, float& m, float& v, float& ema) {
      m = args.beta1 * m + one_minus_beta1 * g;
      v = args.beta2 * v + one_minus_beta2 * (g * g);
      w = keep * w - step * m / (sqrtf(v) * corrections.rsqrt_correction2 + args.eps);
      if constexpr (with_ema) ema = args.ema_decay * ema + one_minus_decay * w;
    };
    update(w.x, g.x, m.x, v.x, ema.x);
    update(w.y, g.y, m.y, v.y, ema.y);
    update(w.z, g.z, m.z, v.z, ema.z);
    update(w.w, g.w, m.w, v.w, ema.w);

    reinterpret_cast<float4*>(args.new_w)[i] = w;
    reinterpret_cast<float4*>(args.new_m)[i] = m;
    reinterpret_cast<float4*>(args.new_v)[i] = v;
    if constexpr (with_ema) reinterpret_cast<float4*>(args.new_ema)[i] = ema;
  }

  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0 && atomicInc(args.ticket, gridDim.x - 1) == gridDim.x - 1) {
    *args.new_t = *args.t + 1.0f;
    *args.bad_w = static_cast<float>(atomicExch(args.ticket + 1, 0u));
    *args.bad_g = static_cast<float>(atomicExch(args.ticket + 2, 0u));
  }
}

}  // namespace

void adam(const CudaStream& stream, const AdamArgs& args) {
  const std::int64_t wanted = (args.n / 4 + threads_per_block - 1) / threads_per_block;
  const std::int64_t most = std::int64_t(blocks_per_multiprocessor) * stream.multiprocessors;
  const auto blocks = static_cast<unsigned>(std::clamp<std::int64_t>(wanted, 1, most));
  const auto log_beta1 = static_cast<float>(std::log(double(args.beta1)));
  const auto log_beta2 = static_cast<float>(std::log(double(args.beta2)));
  const auto queue = static_cast<cudaStream_t>(stream.stream);
  if (args.ema) {
    adam_kernel<true><<<blocks, threads_per_block, 0, queue>>>(args, log_beta1, log_beta2);
  } else {
    adam_kernel<false><<<blocks, threads_per_block, 0, queue>>>(args, log_beta1, log_beta2);
  }
  check_launch("adam");
}

}  // namespace ganforge
