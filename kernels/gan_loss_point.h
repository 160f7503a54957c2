// The losses of gan_loss.h at one logit, shared by both backends.
#pragma once

#include "kernels/hd.h"
#include <ganforge/objective.h>

#include <cmath>

namespace ganforge {

/// All from one e^−|x|: no overflow, and no 1 − σ(x) that loses digits.
struct Logistic {
  float sigmoid, sigmoid_of_minus, softplus, softplus_of_minus;
};
GANFORGE_HD inline Logistic logistic(float x) {
  const float e = expf(-fabsf(x));
  const float large = 1.0f / (1.0f + e), small = e * large, tail = log1pf(e);
  if (x >= 0.0f) return {large, small, x + tail, tail};
  return {small, large, tail, tail - x};
}

struct LossPoint {
  float loss, gradient;
  float probability;  // what d_real and d_fake are the means of
  bool correct;       // the logit is on its side of the border
};

/// `partner`: the logit of the same number in the other half. The loss of a pair counts at its real member.
GANFORGE_HD inline LossPoint discriminator_loss_point(Objective objective, bool real, float target, float logit,
                                                      float partner) {
  if (objective == Objective::least_squares) {
    const float distance = real ? logit - target : logit;
    return {0.5f * distance * distance, distance, logit, real ? logit > 0.5f : logit <= 0.5f};
  }
  if (objective == Objective::hinge) {
    const float margin = real ? 1.0f - logit : 1.0f + logit;
    const bool met = margin <= 0.0f;  // not max(): it would lose a NaN
    const float gradient = met ? 0.0f : real ? -1.0f : 1.0f;
    return {met ? 0.0f : margin, gradient, logit, real ? logit > 0.0f : logit <= 0.0f};
  }
  const bool above = real ? logit > partner : logit < partner;
  if (objective == Objective::wasserstein) return {real ? -logit : logit, real ? -1.0f : 1.0f, logit, above};
  if (objective == Objective::relativistic_paired) {
    const Logistic l = logistic(logit - partner);
    if (real) return {l.softplus_of_minus, -l.sigmoid_of_minus, l.sigmoid, above};
    return {0.0f, l.sigmoid, l.sigmoid, above};
  }
  const Logistic l = logistic(logit);
  if (!real) return {l.softplus, l.sigmoid, l.sigmoid, logit <= 0.0f};
  return {l.softplus_of_minus + (1.0f - target) * logit, (1.0f - target) - l.sigmoid_of_minus, l.sigmoid, logit > 0.0f};
}

struct GeneratorLossPoint {
  float loss, gradient;
};

/// `real`: the logit of the same number on real images; 0 unless the objective is relativistic.
GANFORGE_HD inline GeneratorLossPoint generator_loss_point(Objective objective, float logit, float real) {
  if (objective == Objective::least_squares) {
    const float distance = logit - 1.0f;
    return {0.5f * distance * distance, distance};
  }
  if (objective == Objective::hinge || objective == Objective::wasserstein) return {-logit, -1.0f};
  const Logistic l = logistic(logit - real);
  if (objective == Objective::saturating) return {-l.softplus, -l.sigmoid};
  return {l.softplus_of_minus, -l.sigmoid_of_minus};
}

}  // namespace ganforge
