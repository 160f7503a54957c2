// Moves: permuting, slicing, padding, broadcasting and concatenating are all one strided copy. Elements are opaque
// words of 1, 4 or 8 bytes.
#pragma once

#include <ganforge/shape.h>
#include <ganforge/stream.h>

#include <array>
#include <cstdint>

namespace ganforge {

/// y[y_offset + Σ i·y_stride] = x[x_offset + Σ i·x_stride] for every index i below extent. Strides and offsets in
/// elements; an x_stride of zero broadcasts. Adjacent axes that both sides walk alike should be merged (`merge`) first.
struct CopyPlan {
  int rank = 0;
  std::array<std::int64_t, Shape::max_rank> extent{}, x_stride{}, y_stride{};
  std::int64_t x_offset = 0, y_offset = 0;
  std::int64_t elements = 0;
};
CopyPlan merge(const CopyPlan& plan);
/// The axis along which x is contiguous, if that is not the last one and y is contiguous along the last: the copy
/// transposes the two, which is done in square tiles. −1 if it does not, or one of them is too short for tiles to pay.
int transposed_axis(const CopyPlan& plan);
void strided_copy(const CpuStream& stream, const CopyPlan& plan, std::size_t element_bytes, const void* x, void* y);
void strided_copy(const CudaStream& stream, const CopyPlan& plan, std::size_t element_bytes, const void* x, void* y);

/// Zero padding in front (low), behind (high) and between elements (interior) of each axis, in one pass:
///   y extent = low + high + x extent + (x extent − 1)·interior      (x extent 0: low + high)
/// low and high are ≥ 0. Adjoint of slicing with step interior + 1.
struct PadPlan {
  int rank = 0;
  std::array<std::int64_t, Shape::max_rank> x_extent{}, y_extent{}, low{}, interior{};
};
/// Joins axes that are not padded to their outer neighbour.
PadPlan merge(const PadPlan& plan);
void pad(const CpuStream& stream, const PadPlan& plan, std::size_t element_bytes, const void* x, void* y);
void pad(const CudaStream& stream, const PadPlan& plan, std::size_t element_bytes, const void* x, void* y);

}  // namespace ganforge
