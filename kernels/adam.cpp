// Adam on the CPU: one pass over the flat buffers, 28 bytes a parameter (36 with EMA), split into equal ranges.
#include "kernels/adam.h"
#include "kernels/isa.h"
#include "kernels/team.h"

#include <algorithm>
#include <atomic>
#include <cmath>

namespace ganforge::GANFORGE_ISA {
namespace {

constexpr std::int64_t serial_elements = 8192;  // below, starting the threads costs more than they save
constexpr std::int64_t block = 2048;            // elements that stay in the first-level cache

/// The factors of algorithm 1 that are the same for a whole segment.
struct Factors {
  float beta1, beta2, one_minus_beta1, one_minus_beta2;
  float rsqrt_correction2;  // 1/√(1−β₂^t')
  float eps, ema_decay, one_minus_ema_decay;
  float step;  // lr/(1−β₁^t')
  float keep;  // 1 − lr·decay
};

bool all_finite(const float* x, std::int64_t n) {
  float zero = 0;
#pragma omp simd reduction(+ : zero)
  for (std::int64_t i = 0; i < n; ++i) zero += x[i] * 0.0f;
  return zero == 0;
}

/// Notes the first line of x[begin, end) that is not finite; threads note theirs in any order.
void watch(const float* x, std::int64_t begin, std::int64_t end, std::int64_t n, std::atomic<std::int64_t>& worst) {
  if (all_finite(x + begin, end - begin)) return;
  std::int64_t i = begin;
  while (all_finite(x + i, 1)) ++i;
  const std::int64_t distance = n / bad_line - i / bad_line;
  for (std::int64_t seen = worst; seen < distance && !worst.compare_exchange_weak(seen, distance);) {
  }
}

/// Outputs may be the inputs: an element is read before it is written, and no other is touched.
template <bool with_ema>
void update(const AdamArgs& args, const Factors f, std::int64_t begin, std::int64_t end) {
  const float *w = args.w, *g = args.g, *m = args.m, *v = args.v, *ema = args.ema;
  float *new_w = args.new_w, *new_m = args.new_m, *new_v = args.new_v, *new_ema = args.new_ema;
#pragma omp simd
  for (std::int64_t i = begin; i < end; ++i) {
    const float gi = g[i];
    const float mi = f.beta1 * m[i] + f.one_minus_beta1 * gi;
    const float vi = f.beta2 * v[i] + f.one_minus_beta2 * (gi * gi);
    const float wi = f.keep * w[i] - f.step * mi / (__builtin_sqrtf(vi) * f.rsqrt_correction2 + f.eps);
    new_m[i] = mi;
    new_v[i] = vi;
    new_w[i] = wi;
    if constexpr (with_ema) new_ema[i] = f.ema_decay * ema[i] + f.one_minus_ema_decay * wi;
  }
}

struct Watched {
  std::atomic<std::int64_t> w = 0, g = 0;
};

void update_range(const AdamArgs& args, Factors f, float step, std::int64_t begin, std::int64_t end, Watched& bad) {
  for (int s = 0; begin < end;) {
    const bool last = s >= args.segments;
    if (!last && args.segment[s].end <= begin) {
      ++s;
      continue;
    }
    const std::int64_t stop = std::min({end, begin + block, last ? end : args.segment[s].end});
    const float lr_scale = last ? 1.0f : args.segment[s].lr_scale;
    f.step = step * lr_scale;
    f.keep = last ? 1.0f : 1.0f - *args.lr * lr_scale * args.segment[s].decay;
    watch(args.w, begin, stop, args.n, bad.w);
    watch(args.g, begin, stop, args.n, bad.g);
    args.ema ? update<true>(args, f, begin, stop) : update<false>(args, f, begin, stop);
    begin = stop;
  }
}

}  // namespace

void adam(const CpuStream& stream, const AdamArgs& args) {
  const float t = *args.t + 1.0f;
  // 1 − βᵗ by expm1: no digits are lost while βᵗ is close to 1.
  const double correction1 = -__builtin_expm1(double(t) * __builtin_log(double(args.beta1)));
  const double correction2 = -__builtin_expm1(double(t) * __builtin_log(double(args.beta2)));
  const float step = float(double(*args.lr) / correction1);
  const Factors f{.beta1 = args.beta1,
                  .beta2 = args.beta2,
                  .one_minus_beta1 = 1.0f - args.beta1,
                  .one_minus_beta2 = 1.0f - args.beta2,
                  .rsqrt_correction2 = float(1.0 / __builtin_sqrt(correction2)),
                  .eps = args.eps,
                  .ema_decay = args.ema_decay,
                  .one_minus_ema_decay = 1.0f - args.ema_decay,
                  .step = step,
                  .keep = 1.0f};
  const std::int64_t lines = args.n / 16;  // of 64 bytes
  Watched bad;
  on_team(stream, args.n > serial_elements, [&](int threads, int thread) {
    update_range(args, f, step, lines * thread / threads * 16, lines * (thread + 1) / threads * 16, bad);
  });
  *args.new_t = t;
  *args.bad_w = float(bad.w.load());
  *args.bad_g = float(bad.g.load());
}

}  // namespace ganforge::GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace ganforge {
namespace isa_avx2 {
void adam(const CpuStream& stream, const AdamArgs& args);
}
namespace isa_avx512 {
void adam(const CpuStream& stream, const AdamArgs& args);
}
void adam(const CpuStream& stream, const AdamArgs& args) {
  pick(stream.isa, isa_baseline::adam, isa_avx2::adam, isa_avx512::adam)(stream, args);
}
}  // namespace ganforge
#endif
