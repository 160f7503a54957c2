// Reductions. Splits are fixed by the shape, never by the number of threads: the same bits on every run.
// CPU for float32 and float64, CUDA for float32.
#pragma once

#include <ganforge/shape.h>
#include <ganforge/stream.h>

#include <array>
#include <cstdint>
#include <span>

namespace ganforge {

/// A dense tensor whose axes are split into kept and reduced ones, each list merged where adjacent. Built on the host.
struct ReducePlan {
  struct Axes {
    int rank = 0;
    std::array<std::int64_t, Shape::max_rank> extent{}, stride{};  // innermost last; stride in elements of x
    std::int64_t elements = 1;
  };
  Axes kept, reduced;
};
/// `reduce[a]` says whether axis a of x is reduced.
ReducePlan reduce_plan(const Shape& x, std::span<const bool> reduce);

/// y [kept] = Σ x over the reduced axes. float32 sums are pairwise or blocked, so that 10⁶ terms lose no more than a
/// few ulp.
template <class T>
void sum(const CpuStream& stream, const ReducePlan& plan, const T* x, T* y);
void sum(const CudaStream& stream, const ReducePlan& plan, const float* x, float* y);

/// y [kept] = max x over the reduced axes; NaN if any is NaN, −∞ if there are none.
template <class T>
void max(const CpuStream& stream, const ReducePlan& plan, const T* x, T* y);
void max(const CudaStream& stream, const ReducePlan& plan, const float* x, float* y);

/// y [kept] int32 = index of the first maximum along the (single) reduced axis; a NaN counts as the maximum.
template <class T>
void argmax(const CpuStream& stream, const ReducePlan& plan, const T* x, std::int32_t* y);
void argmax(const CudaStream& stream, const ReducePlan& plan, const float* x, std::int32_t* y);

}  // namespace ganforge
