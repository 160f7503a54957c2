#include "kernels/elementwise.cuh"
#include "kernels/move.h"

namespace ganforge {
namespace {

constexpr int tile = 32;
constexpr int tile_threads_y = 8;

/// An index space and the strides of x and y in it.
template <class Index>
struct Axes {
  int rank;
  Index extent[Shape::max_rank];
  std::int64_t x_stride[Shape::max_rank], y_stride[Shape::max_rank];

  __device__ void locate(Index i, std::int64_t& x, std::int64_t& y) const {
    for (int axis = rank - 1; axis >= 0; --axis) {
      const Index outer = axis == 0 ? 0 : i / extent[axis];
      const auto index = static_cast<std::int64_t>(i - outer * extent[axis]);
      x += index * x_stride[axis];
      y += index * y_stride[axis];
      i = outer;
    }
  }
};

template <class Index>
Axes<Index> axes_of(const CopyPlan& plan) {
  Axes<Index> axes{};
  for (int axis = 0; axis < plan.rank; ++axis) {
    axes.extent[axis] = static_cast<Index>(plan.extent[axis]);
    axes.x_stride[axis] = plan.x_stride[axis];
    axes.y_stride[axis] = plan.y_stride[axis];
  }
  axes.rank = plan.rank;
  return axes;
}

// Contiguous on both sides: 16-byte words, then what is left. Floor: one launch, 2 · sizeof(Word) bytes an element.
template <class Word>
__global__ void copy_kernel(const Word* __restrict__ x, Word* __restrict__ y, std::int64_t n, std::int64_t wide) {
  const std::int64_t thread = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x;
  const std::int64_t threads = gridDim.x * std::int64_t(blockDim.x);
  for (std::int64_t i = thread; i < wide; i += threads)
    reinterpret_cast<uint4*>(y)[i] = reinterpret_cast<const uint4*>(x)[i];
  constexpr int words = sizeof(uint4) / sizeof(Word);
  for (std::int64_t i = words * wide + thread; i < n; i += threads) y[i] = x[i];
}

// A thread per word, neighbours along the last axis; the host has made words as wide as strides and addresses allow.
// Floor: one launch, 2 · sizeof(Word) bytes a word where both sides are contiguous along the last axis.
template <class Word, class Index>
__global__ void strided_copy_kernel(const __grid_constant__ Axes<Index> axes, const Word* __restrict__ x,
                                    Word* __restrict__ y, Index n) {
  const Index threads = gridDim.x * Index(blockDim.x);
  for (Index i = blockIdx.x * Index(blockDim.x) + threadIdx.x; i < n; i += threads) {
    std::int64_t from = 0, to = 0;
    axes.locate(i, from, to);
    y[to] = x[from];
  }
}

struct TransposeArgs {
  std::int64_t rows, columns;  // x is contiguous along the rows' axis, y along the columns'
  std::int64_t x_stride;       // of a column
  std::int64_t y_stride;       // of a row
  std::int64_t row_tiles, column_tiles, tiles;
  Axes<std::int64_t> matrices;
};

// Transposes matrices by tiles of 32 × 32 words through shared memory: both sides move 32 neighbouring words at a time,
// and rows of 33 words keep the columns of a tile in different banks (from 4 bytes on). Floor: one launch, 2 ·
// sizeof(Word) bytes an element.
template <class Word>
__global__ void transpose_kernel(const __grid_constant__ TransposeArgs args, const Word* __restrict__ x,
                                 Word* __restrict__ y) {
  __shared__ Word staged[tile][tile + 1];
  for (std::int64_t t = blockIdx.x; t < args.tiles; t += gridDim.x) {
    const std::int64_t band = t / args.column_tiles;
    const std::int64_t matrix = band / args.row_tiles;
    const std::int64_t first_column = (t - band * args.column_tiles) * tile;
    const std::int64_t first_row = (band - matrix * args.row_tiles) * tile;
    std::int64_t from = 0, to = 0;
    args.matrices.locate(matrix, from, to);
    for (int j = threadIdx.y; j < tile; j += tile_threads_y) {
      const std::int64_t row = first_row + threadIdx.x, column = first_column + j;
      if (row < args.rows && column < args.columns) staged[j][threadIdx.x] = x[from + row + column * args.x_stride];
    }
    __syncthreads();
    for (int j = threadIdx.y; j < tile; j += tile_threads_y) {
      const std::int64_t row = first_row + j, column = first_column + threadIdx.x;
      if (row < args.rows && column < args.columns) y[to + column + row * args.y_stride] = staged[threadIdx.x][j];
    }
    __syncthreads();
  }
}

template <class Word>
void launch_transpose(const CudaStream& stream, CopyPlan plan, int axis, const Word* x, Word* y) {
  const int last = plan.rank - 1;
  TransposeArgs args{};
  args.rows = plan.extent[axis];
  args.columns = plan.extent[last];
  args.x_stride = plan.x_stride[last];
  args.y_stride = plan.y_stride[axis];
  args.row_tiles = (args.rows + tile - 1) / tile;
  args.column_tiles = (args.columns + tile - 1) / tile;
  args.tiles = plan.elements / (args.rows * args.columns) * args.row_tiles * args.column_tiles;
  plan.rank -= 2;
  for (int a = axis; a < plan.rank; ++a) {
    plan.extent[a] = plan.extent[a + 1];
    plan.x_stride[a] = plan.x_stride[a + 1];
    plan.y_stride[a] = plan.y_stride[a + 1];
  }
  args.matrices = axes_of<std::int64_t>(plan);
  const auto blocks =
      static_cast<unsigned>(std::min<std::int64_t>(args.tiles, std::int64_t(64) * stream.multiprocessors));
  transpose_kernel<<<blocks, dim3(tile, tile_threads_y), 0, queue_of(stream)>>>(args, x, y);
  check_launch("transpose");
}

template <class Word>
void launch_copy(const CudaStream& stream, const CopyPlan& plan, const void* from, void* to) {
  const Word* x = static_cast<const Word*>(from) + plan.x_offset;
  Word* y = static_cast<Word*>(to) + plan.y_offset;
  const std::int64_t n = plan.elements;
  const auto aligned = [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % sizeof(uint4) == 0; };
  if (plan.rank == 0 || (plan.rank == 1 && plan.x_stride[0] == 1 && plan.y_stride[0] == 1)) {
    constexpr std::int64_t words = sizeof(uint4) / sizeof(Word);
    const std::int64_t wide = aligned(x) && aligned(y) ? n / words : 0;
    const unsigned blocks = elementwise_blocks(stream, std::max(wide, n - words * wide));
    copy_kernel<<<blocks, elementwise_threads, 0, queue_of(stream)>>>(x, y, n, wide);
    return check_launch("copy");
  }
  if (const int axis = transposed_axis(plan); axis >= 0) return launch_transpose(stream, plan, axis, x, y);
  const unsigned blocks = elementwise_blocks(stream, n);
  if (n < (std::int64_t(1) << 31)) {
    strided_copy_kernel<<<blocks, elementwise_threads, 0, queue_of(stream)>>>(axes_of<std::uint32_t>(plan), x, y,
                                                                              static_cast<std::uint32_t>(n));
  } else {
    strided_copy_kernel<<<blocks, elementwise_threads, 0, queue_of(stream)>>>(axes_of<std::uint64_t>(plan), x, y,
                                                                              static_cast<std::uint64_t>(n));
  }
  check_launch("strided_copy");
}

template <class Index>
struct PadArgs {
  int rank;
  Index x_extent[Shape::max_rank], y_extent[Shape::max_rank], low[Shape::max_rank], step[Shape::max_rank];
};

// A thread per word of y: finds its element of x by a division per axis, or writes zero. Words are as wide as the plan
// allows. Floor: one launch, x read and y written once.
template <class Word, class Index>
__global__ void pad_kernel(const __grid_constant__ PadArgs<Index> args, const Word* __restrict__ x,
                           Word* __restrict__ y, Index n) {
  const Index threads = gridDim.x * Index(blockDim.x);
  for (Index i = blockIdx.x * Index(blockDim.x) + threadIdx.x; i < n; i += threads) {
    Index rest = i, from = 0, stride = 1;
    bool inside = true;
    for (int axis = args.rank - 1; axis >= 0; --axis) {
      const Index outer = axis == 0 ? 0 : rest / args.y_extent[axis];
      const Index behind =
          rest - outer * args.y_extent[axis] - args.low[axis];  // wraps to a large number in front of x
      const Index step = args.step[axis], index = step == 1 ? behind : behind / step;
      inside = inside && index < args.x_extent[axis] && index * step == behind;
      from += index * stride;
      stride *= args.x_extent[axis];
      rest = outer;
    }
    Word word{};
    if (inside) word = x[from];
    y[i] = word;
  }
}

template <class Index, class Word>
void launch_pad_indexed(const CudaStream& stream, const PadPlan& plan, const Word* x, Word* y, std::int64_t n) {
  PadArgs<Index> args{};
  args.rank = plan.rank;
  for (int axis = 0; axis < plan.rank; ++axis) {
    args.x_extent[axis] = static_cast<Index>(plan.x_extent[axis]);
    args.y_extent[axis] = static_cast<Index>(plan.y_extent[axis]);
    args.low[axis] = static_cast<Index>(plan.low[axis]);
    args.step[axis] = static_cast<Index>(plan.interior[axis] + 1);
  }
  pad_kernel<<<elementwise_blocks(stream, n), elementwise_threads, 0, queue_of(stream)>>>(args, x, y,
                                                                                          static_cast<Index>(n));
  check_launch("pad");
}

template <class Word>
void launch_pad(const CudaStream& stream, const PadPlan& plan, const void* from, void* to) {
  const auto* x = static_cast<const Word*>(from);
  auto* y = static_cast<Word*>(to);
  std::int64_t n = 1;
  for (int axis = 0; axis < plan.rank; ++axis) n *= plan.y_extent[axis];
  if (n == 0) return;
  if (n < (std::int64_t(1) << 31)) {
    launch_pad_indexed<std::uint32_t>(stream, plan, x, y, n);
  } else {
    launch_pad_indexed<std::uint64_t>(stream, plan, x, y, n);
  }
}

/// Rewrites the plan in the widest words that addresses and `divide` allow; returns the bytes of one.
template <class Plan, class Divide>
std::size_t widen(Plan& plan, std::size_t element_bytes, const void* x, const void* y, Divide divide) {
  const auto address = reinterpret_cast<std::uintptr_t>(x) | reinterpret_cast<std::uintptr_t>(y);
  for (std::size_t bytes = 16; bytes > element_bytes; bytes /= 2) {
    if (bytes == 2 || address % bytes != 0) continue;
    if (divide(plan, static_cast<std::int64_t>(bytes / element_bytes))) return bytes;
  }
  return element_bytes;
}

bool divide_copy(CopyPlan& plan, std::int64_t by) {
  const int last = plan.rank - 1;
  if (plan.x_stride[last] != 1 || plan.y_stride[last] != 1 || plan.extent[last] % by != 0) return false;
  std::int64_t all = plan.x_offset | plan.y_offset;  // `by` is a power of two
  for (int axis = 0; axis < last; ++axis) all |= plan.x_stride[axis] | plan.y_stride[axis];
  if (all % by != 0) return false;
  for (int axis = 0; axis < last; ++axis) {
    plan.x_stride[axis] /= by;
    plan.y_stride[axis] /= by;
  }
  plan.extent[last] /= by;
  plan.x_offset /= by;
  plan.y_offset /= by;
  plan.elements /= by;
  return true;
}

bool divide_pad(PadPlan& plan, std::int64_t by) {
  const int last = plan.rank - 1;
  if (plan.interior[last] != 0 || (plan.x_extent[last] | plan.y_extent[last] | plan.low[last]) % by != 0) return false;
  plan.x_extent[last] /= by;
  plan.y_extent[last] /= by;
  plan.low[last] /= by;
  return true;
}

}  // namespace

void strided_copy(const CudaStream& stream, const CopyPlan& plan, std::size_t element_bytes, const void* x, void* y) {
  if (plan.elements == 0) return;
  CopyPlan words = plan;
  if (plan.rank > 1) element_bytes = widen(words, element_bytes, x, y, divide_copy);
  switch (element_bytes) {
    case 1:
      return launch_copy<std::uint8_t>(stream, words, x, y);
    case 4:
      return launch_copy<std::uint32_t>(stream, words, x, y);
    case 8:
      return launch_copy<uint2>(stream, words, x, y);
    default:
      return launch_copy<uint4>(stream, words, x, y);
  }
}

void pad(const CudaStream& stream, const PadPlan& plan, std::size_t element_bytes, const void* x, void* y) {
  PadPlan words = merge(plan);
  element_bytes = widen(words, element_bytes, x, y, divide_pad);
  switch (element_bytes) {
    case 1:
      return launch_pad<std::uint8_t>(stream, words, x, y);
    case 4:
      return launch_pad<std::uint32_t>(stream, words, x, y);
    case 8:
      return launch_pad<uint2>(stream, words, x, y);
    default:
      return launch_pad<uint4>(stream, words, x, y);
  }
}

}  // namespace ganforge
