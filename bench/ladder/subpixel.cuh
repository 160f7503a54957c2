// The sub-pixel phases of a transposed convolution, 4×4 with stride 2 and padding 1: rows 2u and 2u + 1 of y each see
// two rows of x and two rows of the filter, and so do columns. A phase is one of the four kinds of pixels.
#pragma once

#include "bench/ladder/ladder.cuh"

namespace ganforge::ladder {

/// Output row 2u + odd, tap 0 or 1: the row of the filter, and the row of x less u.
__device__ constexpr int filter_row(int odd, int tap) {
  return 1 - odd + 2 * tap;
}
__device__ constexpr int input_offset(int odd, int tap) {
  return odd - tap;
}

/// A position of x, of all images, and what a phase makes of it.
struct Position {
  int n, u, v;
  __device__ Position(const TransposedProblem& p, int index)
      : n(index / (p.h * p.w)), u(index / p.w % p.h), v(index % p.w) {}

  /// The channels of x that a tap of phase (odd_u, odd_v) sees, or null beyond the image.
  __device__ const float* input(const TransposedProblem& p, int odd_u, int odd_v, int tap) const {
    const int row = u + input_offset(odd_u, tap / 2), column = v + input_offset(odd_v, tap % 2);
    if (n >= p.n || row < 0 || row >= p.h || column < 0 || column >= p.w) return nullptr;
    return p.x + ((n * p.h + row) * p.w + column) * p.in;
  }
  /// The channels of y.
  __device__ float* output(const TransposedProblem& p, int odd_u, int odd_v) const {
    return p.y + ((n * 2 * p.h + 2 * u + odd_u) * 2 * p.w + 2 * v + odd_v) * p.out;
  }
};

/// Filter of a tap: [in][out] in rows 16·out apart.
__device__ inline const float* filter(const TransposedProblem& p, int odd_u, int odd_v, int tap) {
  return p.f + (4 * filter_row(odd_u, tap / 2) + filter_row(odd_v, tap % 2)) * p.out;
}

}  // namespace ganforge::ladder
