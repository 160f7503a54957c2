#include "kernels/reduce.h"

#include "src/core/cuda_check.h"

#include <algorithm>
#include <bit>
#include <cstdint>

namespace ganforge {
namespace {

constexpr int lanes = 32;
constexpr int max_threads = 1024;

struct Sum {
  using Partial = float;
  using Result = float;
  static __device__ Partial identity() { return 0.0f; }
  static __device__ Partial load(float x, std::int64_t) { return x; }
  static __device__ Partial combine(Partial a, Partial b) { return a + b; }
  static __device__ Result result(Partial a) { return a; }
};

struct Max {
  using Partial = float;
  using Result = float;
  static __device__ Partial identity() { return -INFINITY; }
  static __device__ Partial load(float x, std::int64_t) { return x; }
  static __device__ Partial combine(Partial a, Partial b) { return b > a || b != b ? b : a; }
  static __device__ Result result(Partial a) { return a; }
};

struct Argmax {
  struct Partial {
    float value;
    std::int32_t index;
  };
  using Result = std::int32_t;
  static __device__ Partial identity() { return {-INFINITY, INT32_MAX}; }
  static __device__ Partial load(float x, std::int64_t index) { return {x, static_cast<std::int32_t>(index)}; }
  static __device__ Partial combine(Partial a, Partial b) {
    const bool a_nan = a.value != a.value, b_nan = b.value != b.value;
    const bool tie = a.value == b.value || (a_nan && b_nan);
    return (tie ? b.index < a.index : b_nan || b.value > a.value) ? b : a;
  }
  static __device__ Result result(Partial a) { return a.index; }
};

template <class Index>
struct Axes {
  int rank;
  Index extent[Shape::max_rank], stride[Shape::max_rank];

  __device__ Index offset(Index i) const {
    Index sum = 0;
    for (int axis = rank - 1; axis >= 0; --axis) {
      const Index outer = axis == 0 ? 0 : i / extent[axis];
      sum += (i - outer * extent[axis]) * stride[axis];
      i = outer;
    }
    return sum;
  }
};

template <class Index>
struct ReduceArgs {
  Axes<Index> kept;     // without the columns
  Axes<Index> reduced;  // whole: its innermost axis are the rows of a block
  Index columns;  // of x's contiguous [rows, columns] blocks: the innermost kept axis, if that is the innermost of x
  Index terms;    // per output
  Index tiles;    // of up to 32 columns, in one block
  Index tasks;    // tiles in all
  int fold;       // rows of x that a warp reads at once: 32 / columns, or 1
};

// A task is up to 32 columns of y; blockDim.z tasks share a block. The lanes of a warp read neighbouring words of x: 32
// columns of one row, or several rows of few columns (of one column: 32 rows). The warps of a task take every
// blockDim.y-th of these. A thread sums 16 terms at a time, then 16 of these sums, then what comes of that; the warps
// and the folded rows meet in shared memory in a tree. All of it depends on the shape alone. Floor: one launch, x read
// once, y written once.
template <class Op, class Index>
__global__ void __launch_bounds__(max_threads, 1)
    reduce_kernel(const __grid_constant__ ReduceArgs<Index> args, const float* __restrict__ x,
                  typename Op::Result* __restrict__ y) {
  using Partial = typename Op::Partial;
  __shared__ Partial partial[max_threads];
  const int lane = threadIdx.x, warp = threadIdx.y;
  Partial* mine = partial + (threadIdx.z * blockDim.y + warp) * lanes + lane;

  for (Index first = blockIdx.x * Index(blockDim.z); first < args.tasks; first += gridDim.x * Index(blockDim.z)) {
    const Index task = first + threadIdx.z;
    const Index block = task / args.tiles, first_column = (task - block * args.tiles) * lanes;
    const auto span = static_cast<int>(args.columns - first_column < lanes ? args.columns - first_column : lanes);
    const int folded_row = lane / span, column = lane - folded_row * span;
    Partial sum = Op::identity();
    if (task < args.tasks && folded_row < args.fold) {
      const float* from = x + args.kept.offset(block) + first_column + column;
      const Index step = blockDim.y * args.fold;
      for (Index i = warp * args.fold + folded_row; i < args.terms;) {
        Partial sum_256 = Op::identity();
        for (int j = 0; j < 16 && i < args.terms; ++j) {
          Partial sum_16 = Op::identity();
#pragma unroll 4
          for (int k = 0; k < 16 && i < args.terms; ++k, i += step) {
            sum_16 = Op::combine(sum_16, Op::load(from[args.reduced.offset(i)], i));
          }
          sum_256 = Op::combine(sum_256, sum_16);
        }
        sum = Op::combine(sum, sum_256);
      }
    }
    *mine = sum;
    for (int half = blockDim.y / 2; half > 0; half /= 2) {
      __syncthreads();
      if (warp < half) *mine = Op::combine(*mine, mine[half * lanes]);
    }
    __syncthreads();
    if (warp == 0) {
      for (int half = lanes / 2; half > 0; half /= 2) {
        if (folded_row < half && folded_row + half < args.fold) *mine = Op::combine(*mine, mine[half * span]);
        __syncwarp();
      }
      if (task < args.tasks && folded_row == 0) y[block * args.columns + first_column + column] = Op::result(*mine);
    }
    __syncthreads();
  }
}

template <class Index>
Axes<Index> axes_of(const ReducePlan::Axes& plan, int rank) {
  Axes<Index> axes{};
  axes.rank = rank;
  for (int axis = 0; axis < rank; ++axis) {
    axes.extent[axis] = static_cast<Index>(plan.extent[axis]);
    axes.stride[axis] = static_cast<Index>(plan.stride[axis]);
  }
  return axes;
}

template <class Op, class Index>
void launch(const CudaStream& stream, const ReducePlan& plan, const float* x, typename Op::Result* y,
            const char* name) {
  int kept_outer = plan.kept.rank;
  std::int64_t columns = 1;
  if (kept_outer > 0 && plan.kept.stride[kept_outer - 1] == 1) columns = plan.kept.extent[--kept_outer];

  ReduceArgs<Index> args{};
  args.kept = axes_of<Index>(plan.kept, kept_outer);
  args.reduced = axes_of<Index>(plan.reduced, plan.reduced.rank);
  args.columns = static_cast<Index>(columns);
  args.terms = static_cast<Index>(plan.reduced.elements);
  args.tiles = static_cast<Index>((columns + lanes - 1) / lanes);
  args.tasks = static_cast<Index>(plan.kept.elements / columns) * args.tiles;
  args.fold = std::max(static_cast<int>(lanes / std::min<std::int64_t>(columns, lanes)), 1);

  const std::int64_t terms_per_lane = (plan.reduced.elements + args.fold - 1) / args.fold;
  const auto warps = static_cast<unsigned>(
      std::bit_ceil(static_cast<std::uint64_t>(std::clamp<std::int64_t>(terms_per_lane / 8, 1, max_threads / lanes))));
  const unsigned tasks_per_block = std::max(8 / warps, 1u);
  const std::int64_t blocks = (static_cast<std::int64_t>(args.tasks) + tasks_per_block - 1) / tasks_per_block;
  reduce_kernel<Op, Index>
      <<<static_cast<unsigned>(std::min<std::int64_t>(blocks, INT32_MAX)), dim3(lanes, warps, tasks_per_block), 0,
         static_cast<cudaStream_t>(stream.stream)>>>(args, x, y);
  check_launch(name);
}

/// 32-bit indices where they suffice: they are divided by.
template <class Op>
void reduce(const CudaStream& stream, const ReducePlan& plan, const float* x, typename Op::Result* y,
            const char* name) {
  if (plan.kept.elements == 0) return;
  if (std::max<std::int64_t>(plan.reduced.elements, 1) * plan.kept.elements < (std::int64_t(1) << 31)) {
    launch<Op, std::uint32_t>(stream, plan, x, y, name);
  } else {
    launch<Op, std::uint64_t>(stream, plan, x, y, name);
  }
}

}  // namespace

void sum(const CudaStream& stream, const ReducePlan& plan, const float* x, float* y) {
  reduce<Sum>(stream, plan, x, y, "sum");
}

void max(const CudaStream& stream, const ReducePlan& plan, const float* x, float* y) {
  reduce<Max>(stream, plan, x, y, "max");
}

void argmax(const CudaStream& stream, const ReducePlan& plan, const float* x, std::int32_t* y) {
  reduce<Argmax>(stream, plan, x, y, "argmax");
}

}  // namespace ganforge
