// What happens to a sample, from its random numbers; the same on every backend.
#pragma once

#include "kernels/augment.h"
#include "kernels/exact.h"

namespace ganforge {

/// A half-open range of rows or columns.
struct Span {
  int begin, end;
};

struct AugmentSample {
  float brightness, saturation, contrast;
  int shift_y, shift_x;
  Span cut_y, cut_x;
};

/// 0 … count − 1, each for an equal part of [0, 1).
GANFORGE_EXACT int whole_number(float u, int count) {
  const int i = int(mul(u, float(count)));
  return i < count ? i : count - 1;
}

/// Up to an eighth of `extent` either way.
GANFORGE_EXACT int random_shift(float u, std::int64_t extent) {
  const int reach = int(extent + 4) / 8;
  return whole_number(u, 2 * reach + 1) - reach;
}

/// Half of `extent`, rounded up, round a centre that may lie on the border.
GANFORGE_EXACT Span random_cut(float u, std::int64_t extent) {
  const int size = int(extent + 1) / 2, begin = whole_number(u, int(extent) + 1 - size % 2) - size / 2;
  const int end = begin + size;
  return {begin < 0 ? 0 : begin, end > int(extent) ? int(extent) : end};
}

GANFORGE_EXACT AugmentSample augment_sample(const AugmentArgs& args, const float* numbers, float probability) {
  AugmentSample s{0, 1, 1, 0, 0, {0, 0}, {0, 0}};
  if (args.color && numbers[0] < probability) {
    s.brightness = mul(add(numbers[1], -0.5f), args.half_range);
    s.saturation = mul(2.0f, numbers[2]);
    s.contrast = add(numbers[3], 0.5f);
  }
  if (args.translation && numbers[4] < probability) {
    s.shift_y = random_shift(numbers[5], args.h);
    s.shift_x = random_shift(numbers[6], args.w);
  }
  if (args.cutout && numbers[7] < probability) {
    s.cut_y = random_cut(numbers[8], args.h);
    s.cut_x = random_cut(numbers[9], args.w);
  }
  return s;
}

/// Row or column `i` of the result is read from here, or from nowhere (−1). In the result's coordinates: a cut holds
/// for the augmented image, which the adjoint reads.
GANFORGE_EXACT int source_of(int i, int shift, bool adjoint, int extent) {
  const int from = adjoint ? i - shift : i + shift;
  return from >= 0 && from < extent ? from : -1;
}

}  // namespace ganforge
