// Training batch norm as PyTorch's own kernels do it, channels first: one block for each channel finds mean and
// variance by Welford's recurrence, a division an element, a second launch normalises, and the activation is a third.
//
// Bytes, T being x's: T, 2T and 2T. Blocks: as many as channels, however many multiprocessors there are.
#include "bench/ladder/ladder.cuh"

namespace ganforge::ladder {
namespace {

constexpr int threads = 512;

struct Moments {
  float count = 0, mean = 0, m2 = 0;

  __device__ void add(float x) {
    count += 1;
    const float d = x - mean;
    mean += d / count;
    m2 += d * (x - mean);
  }
  __device__ void merge(const Moments& o) {
    const float n = count + o.count;
    if (n == 0) return;
    const float d = o.mean - mean;
    mean += d * o.count / n;
    m2 += o.m2 + d * d * count * o.count / n;
    count = n;
  }
  __device__ void merge_warp() {
    for (int apart = 16; apart > 0; apart /= 2) {
      Moments o;
      o.count = __shfl_down_sync(~0u, count, apart);
      o.mean = __shfl_down_sync(~0u, mean, apart);
      o.m2 = __shfl_down_sync(~0u, m2, apart);
      merge(o);
    }
  }
};

__global__ void __launch_bounds__(threads) statistics_kernel(PeerBatchNorm p) {
  __shared__ float counts[threads / 32], means[threads / 32], m2s[threads / 32];
  const int c = blockIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  Moments moments;
  for (int n = 0; n < p.n; ++n) {
    const float* const x = p.x + (n * p.channels + c) * p.pixels;
    for (int i = threadIdx.x; i < p.pixels; i += threads) moments.add(x[i]);
  }
  moments.merge_warp();
  if (lane == 0) counts[warp] = moments.count, means[warp] = moments.mean, m2s[warp] = moments.m2;
  __syncthreads();
  if (warp > 0) return;
  moments = {};
  if (lane < threads / 32) moments.count = counts[lane], moments.mean = means[lane], moments.m2 = m2s[lane];
  moments.merge_warp();
  if (lane > 0) return;
  p.mean[c] = moments.mean;
  p.var[c] = moments.m2 / moments.count;
}

__global__ void normalise_kernel(PeerBatchNorm p, int size) {
  const int i = blockIdx.x * threads + threadIdx.x;
  if (i >= size) return;
  const int c = i / p.pixels % p.channels;
  p.y[i] = p.gamma[c] * (p.x[i] - p.mean[c]) * rsqrtf(p.var[c] + p.eps) + p.beta[c];
}

__global__ void activate_kernel(float* y, int size, float slope) {
  const int i = blockIdx.x * threads + threadIdx.x;
  if (i < size) y[i] = leaky(y[i], slope);
}

}  // namespace

void peer_batch_norm(const CudaStream& stream, const PeerBatchNorm& p) {
  const int size = p.n * p.channels * p.pixels, blocks = divide_up(size, threads);
  statistics_kernel<<<p.channels, threads, 0, queue_of(stream)>>>(p);
  normalise_kernel<<<blocks, threads, 0, queue_of(stream)>>>(p, size);
  activate_kernel<<<blocks, threads, 0, queue_of(stream)>>>(p.y, size, p.slope);
  check_launch("peer_batch_norm");
}

}  // namespace ganforge::ladder
