// Adam with exponential moving average of the weights, on one flat buffer (Kingma & Ba, arXiv:1412.6980, algorithm 1).
#pragma once

#include <ganforge/adam.h>
#include <ganforge/stream.h>

#include <cstdint>

namespace ganforge {

/// A buffer of n elements is ⌈n/16⌉ lines of 16. The first line that holds a value that is not finite is stored as its
/// distance to the end, counted in lines: 0 stands for none, and the largest of several numbers for the first line.
/// Exact in float32 up to 2²⁸ elements.
inline constexpr std::int64_t bad_line = 16;

///   t' = t + 1;  m' = β₁m + (1−β₁)g;  v' = β₂v + (1−β₂)g²
///   w' = w − lr · (m'/(1−β₁^t')) / (√(v'/(1−β₂^t')) + eps)
///   ema' = ema_decay · ema + (1 − ema_decay) · w'        (ema null: none)
///   bad_w, bad_g: where w and g hold NaN or infinity (bad_line below)
///
/// Outputs may be the memory of their inputs (w' on w, …, t' on t). t is a float32 step count and lr a float32 scalar,
/// both on the device. n is the number of elements of each buffer (a multiple of 16; buffers start on 64 bytes).
struct AdamArgs {
  const float *w, *g, *m, *v, *ema;
  float *new_w, *new_m, *new_v, *new_ema;
  const float* t;
  float* new_t;
  float *bad_w, *bad_g;  // a scalar each
  const float* lr;
  float beta1, beta2, eps, ema_decay;
  std::int64_t n;
  int segments;  // behind the last one: lr_scale 1, decay 0
  AdamSegment segment[max_adam_segments];
  unsigned* ticket;  // CUDA: adam_tickets counters, zero before the first launch; the kernel leaves them zero
};
inline constexpr int adam_tickets = 3;
void adam(const CpuStream& stream, const AdamArgs& args);
void adam(const CudaStream& stream, const AdamArgs& args);

}  // namespace ganforge
