// Adam and a moving average of the weights as public frameworks do it. `per tensor`: a launch for each tensor, an
// element a thread, and the average is a launch of its own. `in passes`: a launch for each elementwise operation, over
// all tensors at once, 16 bytes a thread.
//
// Bytes a parameter: 28 + 12; in passes 12 + 8 + 12 + 8 + 8 + 8 + 16 + 12 = 84.
#include "bench/ladder/ladder.cuh"

#include <cmath>

namespace ganforge::ladder {
namespace {

constexpr int threads = 256;

__global__ void adam_kernel(PeerAdam p) {
  const int i = blockIdx.x * threads + threadIdx.x;
  if (i >= p.size) return;
  const float g = p.g[i], m = p.beta1 * p.m[i] + (1 - p.beta1) * g, v = p.beta2 * p.v[i] + (1 - p.beta2) * g * g;
  p.m[i] = m;
  p.v[i] = v;
  const float corrected_m = m / (1 - powf(p.beta1, p.step)), corrected_v = v / (1 - powf(p.beta2, p.step));
  p.w[i] -= p.lr * corrected_m / (sqrtf(corrected_v) + p.eps);
}

__global__ void average_kernel(float* ema, const float* w, float decay, int size) {
  const int i = blockIdx.x * threads + threadIdx.x;
  if (i < size) ema[i] += (1 - decay) * (w[i] - ema[i]);
}

/// A pass: y = f(y, a, b), four neighbours a thread; null operands are not read.
template <class F>
__global__ void pass_kernel(F f, float* y, const float* y_before, const float* a, const float* b, int fours) {
  const int i = blockIdx.x * threads + threadIdx.x;
  if (i >= fours) return;
  const auto four = [i](const float* x) { return x ? reinterpret_cast<const float4*>(x)[i] : float4{}; };
  const float4 u = four(y_before), v = four(a), w = four(b);
  reinterpret_cast<float4*>(y)[i] = make_float4(f(u.x, v.x, w.x), f(u.y, v.y, w.y), f(u.z, v.z, w.z), f(u.w, v.w, w.w));
}

struct Approach {  // y + rate · (a − y)
  float rate;
  __device__ float operator()(float y, float a, float) const { return y + rate * (a - y); }
};
struct Scale {
  float factor;
  __device__ float operator()(float y, float, float) const { return factor * y; }
};
struct AddSquare {  // y + rate · a²
  float rate;
  __device__ float operator()(float y, float a, float) const { return y + rate * a * a; }
};
struct Root {
  __device__ float operator()(float, float a, float) const { return sqrtf(a); }
};
struct Divide {
  float by;
  __device__ float operator()(float y, float, float) const { return y / by; }
};
struct Add {
  float term;
  __device__ float operator()(float y, float, float) const { return y + term; }
};
struct AddQuotient {  // y + factor · a / b
  float factor;
  __device__ float operator()(float y, float a, float b) const { return y + factor * a / b; }
};

}  // namespace

void peer_adam_per_tensor(const CudaStream& stream, const PeerAdam& all, const std::vector<int>& tensors) {
  PeerAdam p = all;
  for (const int size : tensors) {
    p.size = size;
    adam_kernel<<<divide_up(size, threads), threads, 0, queue_of(stream)>>>(p);
    average_kernel<<<divide_up(size, threads), threads, 0, queue_of(stream)>>>(p.ema, p.w, p.decay, size);
    p.w += size, p.m += size, p.v += size, p.ema += size, p.g += size;
  }
  check_launch("peer_adam_per_tensor");
}

void peer_adam_in_passes(const CudaStream& stream, const PeerAdam& p, float* scratch) {
  const int fours = p.size / 4;
  const auto pass = [&](auto f, float* y, const float* y_before, const float* a, const float* b) {
    pass_kernel<<<divide_up(fours, threads), threads, 0, queue_of(stream)>>>(f, y, y_before, a, b, fours);
  };
  const auto step = static_cast<float>(p.step);
  const float correction1 = 1 - powf(p.beta1, step), root2 = sqrtf(1 - powf(p.beta2, step));
  pass(Approach{1 - p.beta1}, p.m, p.m, p.g, nullptr);
  pass(Scale{p.beta2}, p.v, p.v, nullptr, nullptr);
  pass(AddSquare{1 - p.beta2}, p.v, p.v, p.g, nullptr);
  pass(Root{}, scratch, nullptr, p.v, nullptr);
  pass(Divide{root2}, scratch, scratch, nullptr, nullptr);
  pass(Add{p.eps}, scratch, scratch, nullptr, nullptr);
  pass(AddQuotient{-p.lr / correction1}, p.w, p.w, p.m, scratch);
  pass(Approach{1 - p.decay}, p.ema, p.ema, p.w, nullptr);
  check_launch("peer_adam_in_passes");
}

}  // namespace ganforge::ladder
