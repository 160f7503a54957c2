// Kernels that touch each element once, and their launches.
#pragma once

#include "kernels/map.h"

#include "src/core/cuda_check.h"

#include <algorithm>
#include <cstdint>

namespace ganforge {

inline cudaStream_t queue_of(const CudaStream& stream) {
  return static_cast<cudaStream_t>(stream.stream);
}

constexpr int elementwise_threads = 256;
/// Blocks for a grid-stride loop: enough to fill the card, no more than there is work for.
inline unsigned elementwise_blocks(const CudaStream& stream, std::int64_t items) {
  const std::int64_t wanted = (items + elementwise_threads - 1) / elementwise_threads;
  return static_cast<unsigned>(std::clamp<std::int64_t>(wanted, 1, std::int64_t(8) * stream.multiprocessors));
}

/// Four neighbours, moved by one instruction.
template <class T>
struct alignas(sizeof(T) < 4 ? 4 * sizeof(T) : 16) Four {
  T v[4];
};
template <class T>
bool fours_aligned(const T* x) {
  return reinterpret_cast<std::uintptr_t>(x) % alignof(Four<T>) == 0;
}

// y[i] = f(x[i]). Neighbouring threads take neighbouring groups of four; n % 4 elements, or all if a pointer is not
// aligned, go one by one. Floor: one launch, sizeof(X) + sizeof(Y) bytes an element.
template <class F, class X, class Y>
__global__ void map_kernel(F f, const X* x, Y* y, std::int64_t n, std::int64_t fours) {
  const std::int64_t thread = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x;
  const std::int64_t threads = gridDim.x * std::int64_t(blockDim.x);
  for (std::int64_t i = thread; i < fours; i += threads) {
    const Four<X> in = reinterpret_cast<const Four<X>*>(x)[i];
    Four<Y> out;
#pragma unroll
    for (int k = 0; k < 4; ++k) out.v[k] = f(in.v[k]);
    reinterpret_cast<Four<Y>*>(y)[i] = out;
  }
  for (std::int64_t i = 4 * fours + thread; i < n; i += threads) y[i] = f(x[i]);
}

template <class F, class X, class Y>
void launch_map(const CudaStream& stream, F f, const X* x, Y* y, std::int64_t n, const char* name) {
  if (n == 0) return;
  const std::int64_t fours = fours_aligned(x) && fours_aligned(y) ? n / 4 : 0;
  map_kernel<<<elementwise_blocks(stream, std::max(fours, n - 4 * fours)), elementwise_threads, 0, queue_of(stream)>>>(
      f, x, y, n, fours);
  check_launch(name);
}

/// BroadcastPlan as the kernel reads it, with at least one axis.
template <int operands, class X, class Index>
struct BroadcastArgs {
  const X* x[operands];
  int last_axis;
  Index extent[Shape::max_rank];
  Index stride[operands][Shape::max_rank];
};

template <class F, class X>
__device__ auto apply(const F& f, const X (&x)[2]) {
  return f(x[0], x[1]);
}
template <class F, class X>
__device__ auto apply(const F& f, const X (&x)[3]) {
  return f(x[0], x[1], x[2]);
}

// z = f(x₀, x₁, …) with broadcasting. A thread takes four neighbours of a row (one by one where they are not aligned or
// the rows no multiple of four), finds their row once by a division per outer axis, and reads an operand that is
// constant along the row once. Same shapes and scalars are one row. Floor: one launch, each operand and z once; what is
// broadcast is read again from the caches. Not __restrict__: z may be an operand.
template <class F, int operands, class X, class Z, class Index>
__global__ void broadcast_kernel(F f, const __grid_constant__ BroadcastArgs<operands, X, Index> args, Z* z, Index n,
                                 Index fours) {
  const int last = args.last_axis;
  const auto thread = static_cast<Index>(blockIdx.x * Index(blockDim.x) + threadIdx.x);
  const Index threads = gridDim.x * Index(blockDim.x);
  const auto locate = [&](Index i, Index(&offset)[operands]) {
#pragma unroll
    for (int k = 0; k < operands; ++k) offset[k] = 0;
    for (int axis = last; axis > 0; --axis) {
      const Index outer = i / args.extent[axis], index = i - outer * args.extent[axis];
#pragma unroll
      for (int k = 0; k < operands; ++k) offset[k] += index * args.stride[k][axis];
      i = outer;
    }
#pragma unroll
    for (int k = 0; k < operands; ++k) offset[k] += i * args.stride[k][0];
  };

  for (Index i = thread; i < fours; i += threads) {
    Index offset[operands];
    locate(4 * i, offset);
    X in[4][operands];
#pragma unroll
    for (int k = 0; k < operands; ++k) {
      const X* x = args.x[k] + offset[k];
      if (args.stride[k][last] == 0) {
        const X value = *x;
#pragma unroll
        for (int j = 0; j < 4; ++j) in[j][k] = value;
      } else {
        const Four<X> values = *reinterpret_cast<const Four<X>*>(x);
#pragma unroll
        for (int j = 0; j < 4; ++j) in[j][k] = values.v[j];
      }
    }
    Four<Z> out;
#pragma unroll
    for (int j = 0; j < 4; ++j) out.v[j] = static_cast<Z>(apply(f, in[j]));
    reinterpret_cast<Four<Z>*>(z)[i] = out;
  }
  for (Index i = 4 * fours + thread; i < n; i += threads) {
    Index offset[operands];
    locate(i, offset);
    X in[operands];
#pragma unroll
    for (int k = 0; k < operands; ++k) in[k] = args.x[k][offset[k]];
    z[i] = static_cast<Z>(apply(f, in));
  }
}

template <int operands, class X>
struct RowsArgs {
  const X* x[operands];
  bool is_row[operands];  // one row, for all of them
};

// z = f(x₀, x₁, …) of [rows, 4 · fours], where operands are as large or one row. A thread stays in its columns and goes
// down, so that it reads a row once, with four loads of each other operand in flight; f takes fours of every operand
// and makes one. Floor: one launch, each operand and z once. Not __restrict__: z may be an operand as large.
template <class F, int operands, class X, class Z>
__global__ void rows_kernel(F f, const __grid_constant__ RowsArgs<operands, X> args, Z* z, std::uint32_t rows,
                            std::uint32_t fours, std::uint32_t apart) {
  constexpr std::uint32_t batch = 4;
  const std::uint32_t thread = blockIdx.x * blockDim.x + threadIdx.x, first = thread / fours;
  const std::uint32_t four = thread - first * fours;
  if (first >= apart) return;
  const auto load = [&](int k, std::uint32_t i) { return reinterpret_cast<const Four<X>*>(args.x[k])[i]; };
  Four<X> in[batch][operands];
#pragma unroll
  for (int k = 0; k < operands; ++k)
    if (args.is_row[k]) in[0][k] = load(k, four);
  for (std::uint32_t row = first; row < rows; row += batch * apart) {
#pragma unroll
    for (std::uint32_t j = 0; j < batch; ++j)
#pragma unroll
      for (int k = 0; k < operands; ++k)
        if (args.is_row[k])
          in[j][k] = in[0][k];
        else if (row + j * apart < rows)
          in[j][k] = load(k, (row + j * apart) * fours + four);
#pragma unroll
    for (std::uint32_t j = 0; j < batch; ++j)
      if (row + j * apart < rows) reinterpret_cast<Four<Z>*>(z)[(row + j * apart) * fours + four] = f(in[j]);
  }
}

/// For less than 2³¹ elements, aligned.
template <class F, int operands, class X, class Z>
void launch_rows(const CudaStream& stream, F f, const RowsArgs<operands, X>& args, Z* z, std::int64_t rows,
                 std::int64_t fours, const char* name) {
  // Two blocks a multiprocessor have loads enough in flight; more of them would read rows more often.
  const std::int64_t threads = std::int64_t(2) * stream.multiprocessors * elementwise_threads;
  const std::int64_t apart = std::clamp<std::int64_t>(threads / fours, 1, rows);
  const std::int64_t blocks = (apart * fours + elementwise_threads - 1) / elementwise_threads;
  rows_kernel<<<static_cast<unsigned>(blocks), elementwise_threads, 0, queue_of(stream)>>>(
      f, args, z, static_cast<std::uint32_t>(rows), static_cast<std::uint32_t>(fours),
      static_cast<std::uint32_t>(apart));
  check_launch(name);
}

/// f of each of four neighbours.
template <class F, class Z>
struct EachOfFour {
  F f;
  template <class X, int operands>
  __device__ Four<Z> operator()(const Four<X> (&in)[operands]) const {
    Four<Z> out;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      X x[operands];
#pragma unroll
      for (int k = 0; k < operands; ++k) x[k] = in[k].v[i];
      out.v[i] = static_cast<Z>(apply(f, x));
    }
    return out;
  }
};

/// Launches the kernel above if the plan is for it: some operands as large as z, the others a row.
template <class F, int operands, class X, class Z>
bool launch_broadcast_rows(const CudaStream& stream, F f, const BroadcastPlan& plan, const X* const (&x)[operands],
                           Z* z, const char* name) {
  if (plan.rank != 2 || plan.extent[1] % 4 != 0 || !fours_aligned(z)) return false;
  RowsArgs<operands, X> args{};
  bool any_row = false;
  for (int k = 0; k < operands; ++k) {
    args.x[k] = x[k];
    args.is_row[k] = plan.stride[k][0] == 0;
    any_row = any_row || args.is_row[k];
    if (plan.stride[k][1] != 1 || !fours_aligned(x[k])) return false;
  }
  if (any_row) launch_rows(stream, EachOfFour<F, Z>{f}, args, z, plan.extent[0], plan.extent[1] / 4, name);
  return any_row;
}

template <class Index, class F, int operands, class X, class Z>
void launch_broadcast_indexed(const CudaStream& stream, F f, const BroadcastPlan& plan, const X* const (&x)[operands],
                              Z* z, const char* name) {
  BroadcastArgs<operands, X, Index> args{};
  args.last_axis = std::max(plan.rank - 1, 0);
  args.extent[0] = 1;
  bool aligned = fours_aligned(z) && (plan.rank < 2 || plan.extent[args.last_axis] % 4 == 0);
  for (int axis = 0; axis < plan.rank; ++axis) args.extent[axis] = static_cast<Index>(plan.extent[axis]);
  for (int k = 0; k < operands; ++k) {
    args.x[k] = x[k];
    for (int axis = 0; axis < plan.rank; ++axis) args.stride[k][axis] = static_cast<Index>(plan.stride[k][axis]);
    aligned = aligned && (args.stride[k][args.last_axis] == 0 || fours_aligned(x[k]));
  }
  const std::int64_t n = plan.elements, fours = aligned ? n / 4 : 0;
  const unsigned blocks = elementwise_blocks(stream, std::max(fours, n - 4 * fours));
  broadcast_kernel<<<blocks, elementwise_threads, 0, queue_of(stream)>>>(f, args, z, static_cast<Index>(n),
                                                                         static_cast<Index>(fours));
  check_launch(name);
}

/// 32-bit indices where they suffice: a 64-bit division costs some hundred instructions.
template <class F, int operands, class X, class Z>
void launch_broadcast(const CudaStream& stream, F f, const BroadcastPlan& plan, const X* const (&x)[operands], Z* z,
                      const char* name) {
  if (plan.elements == 0) return;
  if (plan.elements < (std::int64_t(1) << 31)) {
    if (launch_broadcast_rows(stream, f, plan, x, z, name)) return;
    launch_broadcast_indexed<std::uint32_t>(stream, f, plan, x, z, name);
  } else {
    launch_broadcast_indexed<std::uint64_t>(stream, f, plan, x, z, name);
  }
}

}  // namespace ganforge
