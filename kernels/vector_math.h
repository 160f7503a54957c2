// Vectors of floats, as wide as the instruction set that a hot kernel (isa.h) is compiled for, and the activations on
// them. Everything has internal linkage, and nothing branches on data.
#pragma once

#include <ganforge/activation.h>

#include <cstdint>
#include <utility>

namespace ganforge {
namespace {

#if defined(__AVX512F__)
constexpr int lanes = 16;
#elif defined(__AVX2__)
constexpr int lanes = 8;
#else
constexpr int lanes = 4;
#endif
typedef float Floats __attribute__((vector_size(4 * lanes)));
typedef std::int32_t Ints __attribute__((vector_size(4 * lanes)));
typedef float FloatsInMemory __attribute__((vector_size(4 * lanes), aligned(4), may_alias));

inline Floats load(const float* p) {
  return *reinterpret_cast<const FloatsInMemory*>(p);
}
inline void store(float* p, Floats v) {
  *reinterpret_cast<FloatsInMemory*>(p) = v;
}
inline Floats broadcast(float x) {
  return x - Floats{};
}

/// The first `count` of `lanes` elements; zeros follow.
inline Floats load_part(const float* p, std::int64_t count) {
  alignas(64) float values[lanes] = {};
  for (int i = 0; i < count && i < lanes; ++i) values[i] = p[i];
  return load(values);
}
inline void store_part(float* p, Floats v, std::int64_t count) {
  alignas(64) float values[lanes];
  store(values, v);
  for (int i = 0; i < count && i < lanes; ++i) p[i] = values[i];
}

/// Lane i of the result is lane Pattern::index(i) of a followed by b.
template <class Pattern, int... i>
Floats shuffle(Floats a, Floats b, std::integer_sequence<int, i...>) {
  return __builtin_shufflevector(a, b, Pattern::index(i)...);
}
template <class Pattern>
Floats shuffle(Floats a, Floats b) {
  return shuffle<Pattern>(a, b, std::make_integer_sequence<int, lanes>());
}

template <int width>
struct Exchange {
  static constexpr int index(int i) { return i ^ width; }
};
/// Sum of the lanes, pairwise.
inline float sum(Floats v) {
  if constexpr (lanes > 8) v += shuffle<Exchange<8>>(v, v);
  if constexpr (lanes > 4) v += shuffle<Exchange<4>>(v, v);
  v += shuffle<Exchange<2>>(v, v);
  v += shuffle<Exchange<1>>(v, v);
  return v[0];
}

/// eˣ, relative error below 1e-7 for |x| ≤ 87.3; beyond that the value at the bound. NaN stays NaN.
///
/// x = n·ln 2 + r with |r| ≤ ln 2 / 2 (ln 2 in two parts, so that r keeps its digits without a fused multiply-add),
/// then a minimax polynomial of eʳ (3e-9), times 2ⁿ made of its exponent.
inline Floats exp(Floats x) {
  const Floats limit = broadcast(87.3f);
  x = x > limit ? limit : x;
  x = x < -limit ? -limit : x;
  const Floats round = broadcast(0x1.8p23f);  // its sum with a number has the nearest integer in the low bits
  const Floats shifted = x * 0x1.715476p0f + round;
  const Floats n = shifted - round;
  const Floats r = (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;
  Floats p = r * 0x1.6a2352p-10f + 0x1.123a6cp-7f;
  p = p * r + 0x1.5558f4p-5f;
  p = p * r + 0x1.555490p-3f;
  p = p * r + 0x1.fffffcp-2f;
  p = p * (r * r) + r + 1.0f;
  return p * reinterpret_cast<Floats>((reinterpret_cast<Ints>(shifted) << 23) + (127 << 23));
}

/// 1 / (1 + e⁻ˣ), relative error below 1.8e-7 on both sides (e is taken of −|x| alone).
inline Floats sigmoid(Floats x) {
  const Floats one = broadcast(1.0f);
  const Floats e = exp(x > 0.0f ? -x : x);
  return (x > 0.0f ? one : e) / (one + e);
}

/// tanh x, relative error below 3.8e-7; |tanh x| ≤ 1 and NaN stays NaN.
///
/// x·P(x²)/Q(x²), both of degree 4, a weighted least-squares (Lawson) fit of the relative error on |x| ≤ 9.01 (2.1e-8),
/// beyond which tanh rounds to ±1. All coefficients are positive: no cancellation.
inline Floats tanh(Floats x) {
  const Floats limit = broadcast(9.01f), one = broadcast(1.0f);
  x = x > limit ? limit : x;
  x = x < -limit ? -limit : x;
  const Floats t = x * x;
  Floats p = t * 1.33368562e-08f + 2.059628e-05f;
  Floats q = t * 7.76928642e-07f + 0.000328436383f;
  p = p * t + 0.00349481141f;
  q = q * t + 0.0258740281f;
  p = p * t + 0.133803719f;
  q = q * t + 0.467136873f;
  p = p * t + 0.999999979f;
  q = q * t + one;
  const Floats y = x * p / q;
  return y > one ? one : y < -one ? -one : y;
}

}  // namespace
}  // namespace ganforge
