// Spectral normalisation on the CPU. Sums have splits that depend on sizes alone.
#include "kernels/spectral_norm.h"

#include "kernels/isa.h"
#include "kernels/team.h"

namespace ganforge {
namespace GANFORGE_ISA {
namespace {

constexpr std::int64_t tile = 256;  // columns whose sums stay in the first cache
constexpr std::int64_t part_numbers = spectral_part;

float dot(const float* a, const float* b, std::int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

/// x /= ‖x‖; returns the norm.
float normalise(float* x, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; i += tile) sum += double(dot(x + i, x + i, n - i < tile ? n - i : tile));
  const double norm = __builtin_sqrt(sum + 1e-24);
  const float scale = float(1 / norm);
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) x[i] *= scale;
  return float(sum / norm);
}

void iterate(const CpuStream& stream, const PowerIterationArgs& a) {
  in_parts(stream, (a.columns + tile - 1) / tile, [&](std::int64_t part) {
    const std::int64_t begin = part * tile, count = a.columns - begin < tile ? a.columns - begin : tile;
    float* v = a.v + begin;
    for (std::int64_t j = 0; j < count; ++j) v[j] = 0;
    for (std::int64_t i = 0; i < a.rows; ++i) {
      const float* w = a.w + i * a.columns + begin;
      const float u = a.u[i];
#pragma omp simd
      for (std::int64_t j = 0; j < count; ++j) v[j] += u * w[j];
    }
  });
  normalise(a.v, a.columns);
  in_parts(stream, (a.rows + 7) / 8, [&](std::int64_t part) {
    for (std::int64_t i = 8 * part; i < 8 * part + 8 && i < a.rows; ++i) {
      double sum = 0;
      for (std::int64_t j = 0; j < a.columns; j += 4096)
        sum += double(dot(a.w + i * a.columns + j, a.v + j, a.columns - j < 4096 ? a.columns - j : 4096));
      a.new_u[i] = float(sum);
    }
  });
  *a.sigma = normalise(a.new_u, a.rows);
}

/// f(begin, end) for parts of 0 … n − 1.
template <class Function>
void elementwise(const CpuStream& stream, std::int64_t n, const Function& f) {
  in_parts(stream, (n + part_numbers - 1) / part_numbers, [&](std::int64_t part) {
    const std::int64_t begin = part * part_numbers, end = begin + part_numbers;
    f(begin, end < n ? end : n);
  });
}

}  // namespace

void power_iteration(const CpuStream& stream, std::span<const PowerIterationArgs> layers) {
  for (std::size_t l = 0; l < layers.size(); ++l) iterate(stream, layers.data()[l]);
}

void spectral_scale(const CpuStream& stream, std::span<const SpectralScaleArgs> layers) {
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const SpectralScaleArgs& a = layers.data()[l];
    const float scale = 1.0f / *a.sigma;
    elementwise(stream, a.n, [&](std::int64_t begin, std::int64_t end) {
      const float* w = a.w;
      float* y = a.y;
#pragma omp simd
      for (std::int64_t i = begin; i < end; ++i) y[i] = scale * w[i];
    });
  }
}

void spectral_grad(const CpuStream& stream, std::span<const SpectralGradArgs> layers) {
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const SpectralGradArgs& a = layers.data()[l];
    const std::int64_t n = a.rows * a.columns;
    auto* partial = static_cast<double*>(a.workspace);
    elementwise(stream, n, [&](std::int64_t begin, std::int64_t end) {
      double sum = 0;
      for (std::int64_t i = begin; i < end; i += tile)
        sum += double(dot(a.dy + i, a.w + i, end - i < tile ? end - i : tile));
      partial[begin / part_numbers] = sum;
    });
    double sum = 0;
    for (std::int64_t p = 0; p * part_numbers < n; ++p) sum += partial[p];
    const float scale = 1.0f / *a.sigma, s = float(sum / (double(*a.sigma) * double(*a.sigma)));
    in_parts(stream, (a.rows + 7) / 8, [&](std::int64_t part) {
      for (std::int64_t i = 8 * part; i < 8 * part + 8 && i < a.rows; ++i) {
        const float *dy = a.dy + i * a.columns, *v = a.v, share = s * a.u[i];
        float* dw = a.dw + i * a.columns;
#pragma omp simd
        for (std::int64_t j = 0; j < a.columns; ++j) dw[j] = scale * dy[j] - share * v[j];
      }
    });
  }
}

}  // namespace GANFORGE_ISA

#ifdef GANFORGE_ISA_BASELINE
namespace isa_avx2 {
void power_iteration(const CpuStream&, std::span<const PowerIterationArgs>);
void spectral_scale(const CpuStream&, std::span<const SpectralScaleArgs>);
void spectral_grad(const CpuStream&, std::span<const SpectralGradArgs>);
}  // namespace isa_avx2
namespace isa_avx512 {
void power_iteration(const CpuStream&, std::span<const PowerIterationArgs>);
void spectral_scale(const CpuStream&, std::span<const SpectralScaleArgs>);
void spectral_grad(const CpuStream&, std::span<const SpectralGradArgs>);
}  // namespace isa_avx512

std::size_t power_iteration_workspace(std::int64_t rows, std::int64_t columns) {
  return std::size_t(spectral_tiles(columns) * (rows + 1)) * sizeof(float);
}
std::size_t spectral_grad_workspace(std::int64_t n) {
  return std::size_t(n / spectral_part + 1) * sizeof(double);
}

void power_iteration(const CpuStream& stream, std::span<const PowerIterationArgs> layers) {
  pick(stream.isa, isa_baseline::power_iteration, isa_avx2::power_iteration, isa_avx512::power_iteration)(stream,
                                                                                                          layers);
}
void spectral_scale(const CpuStream& stream, std::span<const SpectralScaleArgs> layers) {
  pick(stream.isa, isa_baseline::spectral_scale, isa_avx2::spectral_scale, isa_avx512::spectral_scale)(stream, layers);
}
void spectral_grad(const CpuStream& stream, std::span<const SpectralGradArgs> layers) {
  pick(stream.isa, isa_baseline::spectral_grad, isa_avx2::spectral_grad, isa_avx512::spectral_grad)(stream, layers);
}
#endif

}  // namespace ganforge
