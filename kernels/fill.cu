#include "kernels/elementwise.cuh"
#include "kernels/map.h"

#include <ganforge/error.h>

#include <string>

namespace ganforge {
namespace {

template <class F>
void with_type(DType type, const char* op, F f) {
  switch (type) {
    case DType::float32:
      return f(float{});
    case DType::uint8:
      return f(std::uint8_t{});
    case DType::int32:
      return f(std::int32_t{});
    case DType::int64:
      return f(std::int64_t{});
    case DType::float64:
      break;
  }
  throw ShapeError(std::string(op) + ": float64 exists on the CPU alone; use float32 on CUDA");
}

template <class To>
struct Convert {
  template <class From>
  __device__ To operator()(From x) const {
    return static_cast<To>(x);
  }
};

// y[i] = value, four at a time. Floor: one launch, sizeof(T) bytes an element.
template <class T>
__global__ void fill_kernel(T value, T* y, std::int64_t n, std::int64_t fours) {
  const std::int64_t thread = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x;
  const std::int64_t threads = gridDim.x * std::int64_t(blockDim.x);
  const Four<T> values = {{value, value, value, value}};
  for (std::int64_t i = thread; i < fours; i += threads) reinterpret_cast<Four<T>*>(y)[i] = values;
  for (std::int64_t i = 4 * fours + thread; i < n; i += threads) y[i] = value;
}

// y[o, e, i] = e. Floor: one launch, sizeof(T) bytes an element.
template <class T>
__global__ void iota_kernel(T* y, std::int64_t n, std::int64_t extent, std::int64_t inner) {
  const std::int64_t threads = gridDim.x * std::int64_t(blockDim.x);
  for (std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x; i < n; i += threads) {
    y[i] = static_cast<T>(i / inner % extent);
  }
}

}  // namespace

void cast(const CudaStream& stream, DType from, const void* x, DType to, void* y, std::int64_t n) {
  with_type(from, "cast", [&]<class From>(From) {
    with_type(to, "cast", [&]<class To>(To) {
      launch_map(stream, Convert<To>{}, static_cast<const From*>(x), static_cast<To*>(y), n, "cast");
    });
  });
}

void fill(const CudaStream& stream, DType type, double value, void* y, std::int64_t n) {
  if (n == 0) return;
  with_type(type, "fill", [&]<class T>(T) {
    auto* out = static_cast<T*>(y);
    const std::int64_t fours = fours_aligned(out) ? n / 4 : 0;
    const unsigned blocks = elementwise_blocks(stream, std::max(fours, n - 4 * fours));
    fill_kernel<<<blocks, elementwise_threads, 0, queue_of(stream)>>>(static_cast<T>(value), out, n, fours);
  });
  check_launch("fill");
}

void iota(const CudaStream& stream, DType type, void* y, std::int64_t outer, std::int64_t extent, std::int64_t inner) {
  const std::int64_t n = outer * extent * inner;
  if (n == 0) return;
  with_type(type, "iota", [&]<class T>(T) {
    iota_kernel<<<elementwise_blocks(stream, n), elementwise_threads, 0, queue_of(stream)>>>(static_cast<T*>(y), n,
                                                                                             extent, inner);
  });
  check_launch("iota");
}

}  // namespace ganforge
