// A transposed convolution by way of a matrix of columns, as PyTorch (without a library) and Caffe do it: a product
// makes 16·out numbers of each position of x, and this kernel gathers the up to four of them that fall on an output.
// Here the product is the project's own, for all images at once, where those frameworks have one for each image.
//
// The columns, four times the bytes of y, are written and read again.
#include "bench/ladder/ladder.cuh"

namespace ganforge::ladder {
namespace {

constexpr int threads = 256;

__global__ void gather_columns_kernel(TransposedProblem p, const float* columns, int size) {
  const int i = blockIdx.x * threads + threadIdx.x;
  if (i >= size) return;
  const int c = i % p.out, column = i / p.out % (2 * p.w), row = i / p.out / (2 * p.w) % (2 * p.h),
            n = i / p.out / (2 * p.w) / (2 * p.h);
  // Rows and columns of x whose filter reaches this pixel.
  const int first_row = max(0, (row - 1) / 2), last_row = min(p.h - 1, (row + 1) / 2);
  const int first_column = max(0, (column - 1) / 2), last_column = min(p.w - 1, (column + 1) / 2);
  float sum = 0;
  for (int u = first_row; u <= last_row; ++u)
    for (int v = first_column; v <= last_column; ++v) {
      const int r = row + 1 - 2 * u, s = column + 1 - 2 * v;
      sum += columns[(((n * p.h + u) * p.w + v) * 16 + 4 * r + s) * p.out + c];
    }
  p.y[i] = sum;
}

}  // namespace

void peer_gather_columns(const CudaStream& stream, const TransposedProblem& p, const float* columns) {
  const int size = p.n * 4 * p.h * p.w * p.out;
  gather_columns_kernel<<<divide_up(size, threads), threads, 0, queue_of(stream)>>>(p, columns, size);
  check_launch("gather_columns_kernel");
}

}  // namespace ganforge::ladder
