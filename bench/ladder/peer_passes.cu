// What follows a product, in passes of its own, as public frameworks do it: an element a thread, its channel by a
// division. `bias then act` is the way of eager mode, `bias_act` that of the fused extension that came with StyleGAN;
// both leave the bias gradient to a sum of its own.
//
// Bytes, T being y's: 4T, 2T; the gradient 3T, and T for the bias.
#include "bench/ladder/ladder.cuh"

namespace ganforge::ladder {
namespace {

constexpr int threads = 256;

__global__ void add_bias_kernel(float* y, const float* b, int size, int channels) {
  const int i = blockIdx.x * threads + threadIdx.x;
  if (i < size) y[i] += b[i % channels];
}
__global__ void leaky_kernel(float* y, int size, float slope) {
  const int i = blockIdx.x * threads + threadIdx.x;
  if (i < size) y[i] = leaky(y[i], slope);
}
__global__ void bias_act_kernel(float* y, const float* b, int size, int channels, float slope) {
  const int i = blockIdx.x * threads + threadIdx.x;
  if (i < size) y[i] = leaky(y[i] + b[i % channels], slope);
}
__global__ void act_grad_kernel(const float* dy, const float* y, float* dx, int size, float slope) {
  const int i = blockIdx.x * threads + threadIdx.x;
  if (i < size) dx[i] = y[i] > 0 ? dy[i] : slope * dy[i];
}

/// A block sums 32 columns: 8 rows of threads, then those.
__global__ void column_sum_kernel(const float* dy, float* db, int rows, int channels) {
  __shared__ float part[8][32];
  const int c = blockIdx.x * 32 + threadIdx.x;
  float sum = 0;
  for (int row = threadIdx.y; c < channels && row < rows; row += 8) sum += dy[row * channels + c];
  part[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y > 0 || c >= channels) return;
  for (int i = 1; i < 8; ++i) sum += part[i][threadIdx.x];
  db[c] = sum;
}

}  // namespace

void peer_bias_then_act(const CudaStream& stream, float* y, const float* b, int rows, int channels, float slope) {
  const int size = rows * channels, blocks = divide_up(size, threads);
  add_bias_kernel<<<blocks, threads, 0, queue_of(stream)>>>(y, b, size, channels);
  leaky_kernel<<<blocks, threads, 0, queue_of(stream)>>>(y, size, slope);
  check_launch("peer_bias_then_act");
}

void peer_bias_act(const CudaStream& stream, float* y, const float* b, int rows, int channels, float slope) {
  const int size = rows * channels;
  bias_act_kernel<<<divide_up(size, threads), threads, 0, queue_of(stream)>>>(y, b, size, channels, slope);
  check_launch("peer_bias_act");
}

void peer_act_grad(const CudaStream& stream, const float* dy, const float* y, float* dx, int size, float slope) {
  act_grad_kernel<<<divide_up(size, threads), threads, 0, queue_of(stream)>>>(dy, y, dx, size, slope);
  check_launch("peer_act_grad");
}

void peer_bias_grad(const CudaStream& stream, const float* dy, float* db, int rows, int channels) {
  column_sum_kernel<<<divide_up(channels, 32), dim3(32, 8), 0, queue_of(stream)>>>(dy, db, rows, channels);
  check_launch("peer_bias_grad");
}

}  // namespace ganforge::ladder
