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

GANFORGE_HD inline LossPoint discriminator_loss_point(Objective objective, bool real, float target, float logit) {
  if (objective == Objective::least_squares) {
    const float distance = real ? logit - target : logit;
    return {0.5f * distance * distance, distance, logit, real ? logit > 0.5f : logit <= 0.5f};
  }
  const Logistic l = logistic(logit);
  if (!real) return {l.softplus, l.sigmoid, l.sigmoid, logit <= 0.0f};
  return {l.softplus_of_minus + (1.0f - target) * logit, (1.0f - target) - l.sigmoid_of_minus, l.sigmoid, logit > 0.0f};
}

struct GeneratorLossPoint {
  float loss, gradient;
};

GANFORGE_HD inline GeneratorLossPoint generator_loss_point(Objective objective, float logit) {
  if (objective == Objective::least_squares) {
    const float distance = logit - 1.0f;
    return {0.5f * distance * distance, distance};
  }
  const Logistic l = logistic(logit);
  if (objective == Objective::saturating) return {-l.softplus, -l.sigmoid};
  return {l.softplus_of_minus, -l.sigmoid_of_minus};
}

}  // namespace ganforge
