// How the CPU kernels that are compiled once share their work between threads and walk strided index spaces.
#pragma once

#include "kernels/team.h"

#include <ganforge/shape.h>
#include <ganforge/stream.h>

#include <array>
#include <cstdint>

namespace ganforge {

/// Calls body(begin, end) for even parts of [0, n), one per thread. `work` counts elements; below 16384 the calling
/// thread does it alone.
template <class Body>
void parallel_ranges(const CpuStream& stream, std::int64_t n, std::int64_t work, Body body) {
  if (n == 0) return;
  on_team(stream, work >= 16384, [&](int threads, int thread) {
    const std::int64_t begin = n * thread / threads, end = n * (thread + 1) / threads;
    if (begin < end) body(begin, end);
  });
}

/// Row-major walk over an index space, with an element offset for each operand. The extents and strides must outlive
/// it.
template <int operands>
class Walker {
 public:
  using Strides = std::array<const std::int64_t*, operands>;

  Walker(int rank, const std::int64_t* extent, const Strides& stride, std::int64_t position)
      : rank_(rank), extent_(extent), stride_(stride) {
    for (int axis = rank - 1; axis >= 0; --axis) {
      index_[axis] = position % extent[axis];
      position /= extent[axis];
      for (int k = 0; k < operands; ++k) offset_[k] += index_[axis] * stride[k][axis];
    }
  }

  void next() {
    for (int axis = rank_ - 1; axis >= 0; --axis) {
      const bool carry = ++index_[axis] == extent_[axis];
      const std::int64_t steps = carry ? 1 - extent_[axis] : 1;
      for (int k = 0; k < operands; ++k) offset_[k] += steps * stride_[k][axis];
      if (!carry) return;
      index_[axis] = 0;
    }
  }

  std::int64_t index(int axis) const { return index_[axis]; }
  std::int64_t offset(int operand) const { return offset_[operand]; }

 private:
  int rank_;
  const std::int64_t* extent_;
  Strides stride_;
  std::array<std::int64_t, Shape::max_rank> index_{};
  std::array<std::int64_t, operands> offset_{};
};

}  // namespace ganforge
