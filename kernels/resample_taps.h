// Which inputs make an output along one axis, and with what weights: shared by both backends.
//
// Static, not just inline, as in activate.h. Coordinates are whole numbers: forward and adjoint see the same weights.
#pragma once

#include "kernels/hd.h"
#include "kernels/resample.h"

namespace ganforge {
namespace {

/// Inputs begin ≤ i < end.
struct Taps {
  std::int32_t begin, end;
};

/// y[o] = Σ x[o·stride … o·stride + window)
struct BoxRule {
  GANFORGE_HD static Taps taps(const ResampleAxis& a, std::int32_t o) {
    return {o * a.stride, o * a.stride + a.window};
  }
  GANFORGE_HD static float weight(const ResampleAxis&, std::int32_t, std::int32_t) { return 1.0f; }
};

/// The windows that o lies in.
struct BoxAdjointRule {
  GANFORGE_HD static Taps taps(const ResampleAxis& a, std::int32_t o) {
    const std::int32_t last = o / a.stride + 1;
    return {o < a.window ? 0 : (o - a.window) / a.stride + 1, last < a.from ? last : a.from};
  }
  GANFORGE_HD static float weight(const ResampleAxis&, std::int32_t, std::int32_t) { return 1.0f; }
};

/// Place of fine pixel o among `coarse` pixels of which each becomes f, clamped to their centres, in units of 1/(2f).
GANFORGE_HD static inline std::int32_t hat_place(std::int32_t f, std::int32_t coarse, std::int32_t o) {
  const std::int32_t place = 2 * o + 1 - f, last = 2 * f * (coarse - 1);
  return place < 0 ? 0 : place > last ? last : place;
}
/// 2f times the hat function of coarse pixel i at `place`.
GANFORGE_HD static inline float hat_weight(std::int32_t f, std::int32_t place, std::int32_t i) {
  const std::int32_t distance = place - 2 * f * i, weight = 2 * f - (distance < 0 ? -distance : distance);
  return static_cast<float>(weight > 0 ? weight : 0);
}

struct HatRule {
  GANFORGE_HD static Taps taps(const ResampleAxis& a, std::int32_t o) {
    const std::int32_t place = hat_place(a.stride, a.from, o), i = place / (2 * a.stride);
    return {i, i + (place % (2 * a.stride) ? 2 : 1)};
  }
  GANFORGE_HD static float weight(const ResampleAxis& a, std::int32_t o, std::int32_t i) {
    return hat_weight(a.stride, hat_place(a.stride, a.from, o), i);
  }
};

/// The fine pixels less than a coarse pixel's width from coarse pixel o: those with |2i + 1 − f − 2f·o| < 2f; the first
/// and the last coarse pixel have all that is beyond them too.
struct HatAdjointRule {
  GANFORGE_HD static Taps taps(const ResampleAxis& a, std::int32_t o) {
    const std::int32_t f = a.stride;
    return {o == 0 ? 0 : f * (o - 1) + (f + 1) / 2, o == a.to - 1 ? a.from : f * (o + 1) + f / 2};
  }
  GANFORGE_HD static float weight(const ResampleAxis& a, std::int32_t o, std::int32_t i) {
    return hat_weight(a.stride, hat_place(a.stride, a.to, i), o);
  }
};

/// f(rule) for the rule of a kind.
template <class Function>
void with_rule(Resampling kind, const Function& f) {
  switch (kind) {
    case Resampling::box:
      return f(BoxRule{});
    case Resampling::box_adjoint:
      return f(BoxAdjointRule{});
    case Resampling::hat:
      return f(HatRule{});
    case Resampling::hat_adjoint:
      return f(HatAdjointRule{});
  }
}

}  // namespace
}  // namespace ganforge
