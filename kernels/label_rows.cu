// Rows of a table by label on CUDA.
#include "kernels/elementwise.cuh"
#include "kernels/label_rows.h"

namespace ganforge {
namespace {

// Neighbouring threads take neighbouring columns; a label is one read for all of them. Floor: one launch, 4 bytes
// written an element and as many read, the table's from cache.
__global__ void gather_rows_kernel(const GatherRowsArgs args) {
  const std::int64_t n = args.rows * args.width, threads = gridDim.x * std::int64_t(blockDim.x);
  for (std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x; i < n; i += threads) {
    const std::int64_t row = i / args.width, label = args.labels[row];
    const bool known = label >= 0 && label < args.classes;
    args.y[i] = known ? args.table[label * args.width + (i - row * args.width)] : 0.0f;
  }
}

// A thread owns an element of the table and walks the labels in order: no atomics, the same bits always. Rows are read
// by the threads of their class alone. Floor: one launch, 1R of dy, 1W of the table; the labels come from cache.
__global__ void scatter_add_rows_kernel(const ScatterAddRowsArgs args) {
  const std::int64_t n = args.classes * args.width, threads = gridDim.x * std::int64_t(blockDim.x);
  for (std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x; i < n; i += threads) {
    const std::int64_t k = i / args.width, column = i - k * args.width;
    float sum = 0.0f;
    for (std::int64_t row = 0; row < args.rows; ++row)
      if (args.labels[row] == k) sum += args.dy[row * args.width + column];
    args.table[i] = sum;
  }
}

}  // namespace

void gather_rows(const CudaStream& stream, const GatherRowsArgs& args) {
  const std::int64_t n = args.rows * args.width;
  if (n == 0) return;
  gather_rows_kernel<<<elementwise_blocks(stream, n), elementwise_threads, 0, queue_of(stream)>>>(args);
  check_launch("gather_rows");
}

void scatter_add_rows(const CudaStream& stream, const ScatterAddRowsArgs& args) {
  const std::int64_t n = args.classes * args.width;
  if (n == 0) return;
  scatter_add_rows_kernel<<<elementwise_blocks(stream, n), elementwise_threads, 0, queue_of(stream)>>>(args);
  check_launch("scatter_add_rows");
}

}  // namespace ganforge
