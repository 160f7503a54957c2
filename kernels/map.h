// Elementwise primitives. CPU for float32 and float64, CUDA for float32.
#pragma once

#include "kernels/functors.h"

#include <ganforge/shape.h>
#include <ganforge/stream.h>

#include <array>
#include <cstdint>
#include <span>

namespace ganforge {

/// How up to three operands of shape ≤ the output's are read: element strides per output axis, zero where the operand
/// is broadcast. Adjacent axes that all operands walk alike are merged; the innermost axis is last. Built once, on the
/// host.
struct BroadcastPlan {
  int rank = 0;
  std::array<std::int64_t, Shape::max_rank> extent{};
  std::array<std::array<std::int64_t, Shape::max_rank>, 3> stride{};
  std::int64_t elements = 0;
};
/// Right-aligned broadcasting as in NumPy. Throws ShapeError if an operand does not broadcast to `out`.
BroadcastPlan broadcast_plan(const Shape& out, std::span<const Shape> operands);

/// y[i] = f(x[i]), i < n. y may be x.
template <class T>
void map(const CpuStream& stream, const Unary& f, const T* x, T* y, std::int64_t n);
void map(const CudaStream& stream, const Unary& f, const float* x, float* y, std::int64_t n);

/// z = f(x, y) with broadcasting. z may be the memory of an operand that is not broadcast.
template <class T>
void map(const CpuStream& stream, const Binary& f, const BroadcastPlan& plan, const T* x, const T* y, T* z);
void map(const CudaStream& stream, const Binary& f, const BroadcastPlan& plan, const float* x, const float* y,
         float* z);

/// z = c ≠ 0 ? x : y with broadcasting.
template <class T>
void select(const CpuStream& stream, const BroadcastPlan& plan, const T* c, const T* x, const T* y, T* z);
void select(const CudaStream& stream, const BroadcastPlan& plan, const float* c, const float* x, const float* y,
            float* z);

/// z = (x == y) as float32, for int32 operands (class labels), with broadcasting.
void equal(const CpuStream& stream, const BroadcastPlan& plan, const std::int32_t* x, const std::int32_t* y, float* z);
void equal(const CudaStream& stream, const BroadcastPlan& plan, const std::int32_t* x, const std::int32_t* y, float* z);

/// y[i] = x[i] converted. Floating point to integer truncates towards zero.
void cast(const CpuStream& stream, DType from, const void* x, DType to, void* y, std::int64_t n);
void cast(const CudaStream& stream, DType from, const void* x, DType to, void* y, std::int64_t n);  // no float64

/// y[i] = value
void fill(const CpuStream& stream, DType type, double value, void* y, std::int64_t n);
void fill(const CudaStream& stream, DType type, double value, void* y, std::int64_t n);

/// y[..., i, ...] = i along one axis of [outer, extent, inner]; int32 or a float type.
void iota(const CpuStream& stream, DType type, void* y, std::int64_t outer, std::int64_t extent, std::int64_t inner);
void iota(const CudaStream& stream, DType type, void* y, std::int64_t outer, std::int64_t extent, std::int64_t inner);

}  // namespace ganforge
