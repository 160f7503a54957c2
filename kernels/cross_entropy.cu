// Cross-entropy on CUDA.
#include "kernels/cross_entropy.h"

#include "kernels/block.cuh"
#include "src/core/cuda_check.h"

namespace ganforge {
namespace {

constexpr int warp = 32;
constexpr int warps = 8;

// One block, one launch; a warp has a row, its lanes neighbouring classes. Floor: 1R + 1W of the logits; a second
// pass over the row, and the third that writes, read from cache. A batch has few logits: the launch is the cost.
__global__ void cross_entropy_kernel(const CrossEntropyArgs args) {
  __shared__ float partial[2][warps];
  const int lane = threadIdx.x % warp, w = threadIdx.x / warp;
  const float rows = static_cast<float>(args.rows);
  float loss = 0.0f, correct = 0.0f;
  for (std::int64_t row = w; row < args.rows; row += warps) {
    const std::int64_t label = args.labels[row];
    const float* x = args.logits + row * args.classes;
    float* dx = args.dlogits + row * args.classes;
    float maximum = -INFINITY;
    std::int64_t largest = args.classes;
    for (std::int64_t k = lane; k < args.classes; k += warp)
      if (x[k] > maximum) maximum = x[k], largest = k;
    for (int lanes = warp / 2; lanes > 0; lanes /= 2) {
      const float other = __shfl_xor_sync(~0u, maximum, lanes);
      const std::int64_t place = __shfl_xor_sync(~0u, static_cast<long long>(largest), lanes);
      if (other > maximum || (other == maximum && place < largest)) maximum = other, largest = place;
    }
    float sum = 0.0f;
    for (std::int64_t k = lane; k < args.classes; k += warp) sum += expf(x[k] - maximum);
    sum = warp_sum(sum);
    const float scale = 1.0f / (sum * rows);
    for (std::int64_t k = lane; k < args.classes; k += warp)
      dx[k] = expf(x[k] - maximum) * scale - (k == label ? 1.0f / rows : 0.0f);
    const bool known = label >= 0 && label < args.classes;
    loss += logf(sum) - (known ? x[label] - maximum : -maximum);
    correct += largest == label ? 1.0f : 0.0f;
  }
  if (lane == 0) {
    partial[0][w] = loss;
    partial[1][w] = correct;
  }
  __syncthreads();
  if (threadIdx.x > 0) return;
  loss = correct = 0.0f;
  for (int i = 0; i < warps; ++i) {
    loss += partial[0][i];
    correct += partial[1][i];
  }
  *args.loss = loss / rows;
  *args.accuracy = correct / rows;
}

}  // namespace

void cross_entropy(const CudaStream& stream, const CrossEntropyArgs& args) {
  cross_entropy_kernel<<<1, warps * warp, 0, static_cast<cudaStream_t>(stream.stream)>>>(args);
  check_launch("cross_entropy");
}

}  // namespace ganforge
