#include "kernels/map.h"

#include "kernels/parallel.h"

#include <algorithm>

namespace ganforge {
namespace {

/// Calls f with a zero of the C++ type.
template <class F>
void with_type(DType type, F f) {
  switch (type) {
    case DType::float32:
      return f(float{});
    case DType::float64:
      return f(double{});
    case DType::uint8:
      return f(std::uint8_t{});
    case DType::int32:
      return f(std::int32_t{});
    case DType::int64:
      return f(std::int64_t{});
  }
}

}  // namespace

void cast(const CpuStream& stream, DType from, const void* x, DType to, void* y, std::int64_t n) {
  with_type(from, [&]<class From>(From) {
    with_type(to, [&]<class To>(To) {
      const auto* in = static_cast<const From*>(x);
      auto* out = static_cast<To*>(y);
      parallel_ranges(stream, n, n, [&](std::int64_t begin, std::int64_t end) {
#pragma omp simd
        for (std::int64_t i = begin; i < end; ++i) out[i] = static_cast<To>(in[i]);
      });
    });
  });
}

void fill(const CpuStream& stream, DType type, double value, void* y, std::int64_t n) {
  with_type(type, [&]<class T>(T) {
    auto* out = static_cast<T*>(y);
    parallel_ranges(stream, n, n, [&](std::int64_t begin, std::int64_t end) {
      std::fill(out + begin, out + end, static_cast<T>(value));
    });
  });
}

void iota(const CpuStream& stream, DType type, void* y, std::int64_t outer, std::int64_t extent, std::int64_t inner) {
  with_type(type, [&]<class T>(T) {
    auto* out = static_cast<T*>(y);
    parallel_ranges(stream, outer * extent, outer * extent * inner, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) std::fill_n(out + i * inner, inner, static_cast<T>(i % extent));
    });
  });
}

}  // namespace ganforge
