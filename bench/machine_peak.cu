#include "bench/cuda_timer.h"
#include "bench/machine_peak.h"
#include "src/core/cuda_check.h"

#include <algorithm>
#include <cstdint>

namespace ganforge::bench {
namespace {

// Both kernels keep everything in registers: no memory is read, and a thread writes if its sum is a number that it
// never is. 256 threads a block and blocks for 8 warps a scheduler hide the latency of a chain.
constexpr int threads = 256, blocks_per_multiprocessor = 4, chains = 8;

__global__ void fma_kernel(int rounds, float factor, float term, float* y) {
  float value[chains];
#pragma unroll
  for (int i = 0; i < chains; ++i) value[i] = static_cast<float>(threadIdx.x + i);
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < chains; ++i) value[i] = fmaf(value[i], factor, term);
  }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < chains; ++i) sum += value[i];
  if (sum == -1) *y = sum;
}

constexpr int products = 4;  // independent ones a warp

// mma.m16n8k8: 2·16·8·8 operations a warp. Nothing below compute capability 8.0, where TF32 does not exist.
__global__ void tf32_kernel(int rounds, float start, float* y) {
#if __CUDA_ARCH__ >= 800
  std::uint32_t a[4], b[2];
  for (std::uint32_t& x : a) x = __float_as_uint(start * static_cast<float>(threadIdx.x));
  for (std::uint32_t& x : b) x = __float_as_uint(start);
  float c[products][4] = {};
  for (int round = 0; round < rounds; ++round) {
#pragma unroll
    for (int i = 0; i < products; ++i)
      asm volatile(
          "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
          "%2, %3};"
          : "+f"(c[i][0]), "+f"(c[i][1]), "+f"(c[i][2]), "+f"(c[i][3])
          : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
  float sum = 0;
#pragma unroll
  for (int i = 0; i < products; ++i) sum += c[i][0] + c[i][1] + c[i][2] + c[i][3];
  if (sum == -1) *y = sum;
#endif
}

/// Amount of work a second: `launch(rounds)` does rounds · `each` of it. Rounds double until a launch takes a
/// millisecond; the best of some tries.
template <class Launch>
double rate(CudaTimer& timer, double each, Launch launch) {
  int rounds = 32;
  double seconds = timer.seconds(1, [&] { launch(rounds); });
  while (seconds < 1e-3 && rounds < (1 << 24)) {
    rounds *= 2;
    seconds = timer.seconds(1, [&] { launch(rounds); });
  }
  const int tries = seconds < 0.1 ? 10 : 0;
  for (int i = 0; i < tries; ++i) seconds = std::min(seconds, timer.seconds(1, [&] { launch(rounds); }));
  return each * rounds / seconds;
}

}  // namespace

MachinePeak cuda_peak(Device& device) {
  const auto& stream = std::get<CudaStream>(device.stream());
  const auto queue = static_cast<cudaStream_t>(stream.stream);
  CudaTimer timer(device);
  MachinePeak peak;
  const Buffer y = device.allocate(sizeof(float));
  auto* const result = static_cast<float*>(y.data());
  const int blocks = blocks_per_multiprocessor * stream.multiprocessors;
  const double all_threads = static_cast<double>(blocks) * threads;
  peak.flops = rate(timer, 2 * chains * all_threads, [&](int rounds) {
    fma_kernel<<<blocks, threads, 0, queue>>>(rounds, 0.999f, 1e-3f, result);
    check_launch("fma_kernel");
  });
  if (stream.compute_capability >= 80)
    peak.tf32_flops = rate(timer, products * 2.0 * 16 * 8 * 8 * all_threads / 32, [&](int rounds) {
      tf32_kernel<<<blocks, threads, 0, queue>>>(rounds, 1e-6f, result);
      check_launch("tf32_kernel");
    });

  constexpr std::size_t bytes = std::size_t{256} << 20;
  const Buffer from = device.allocate(bytes), to = device.allocate(bytes);
  double seconds = 1e30;
  for (int i = 0; i < 4; ++i)
    seconds = std::min(seconds, timer.seconds(1, [&] { device.copy(to.data(), from.data(), bytes); }));
  peak.bytes = 2.0 * static_cast<double>(bytes) / seconds;
  return peak;
}

}  // namespace ganforge::bench
