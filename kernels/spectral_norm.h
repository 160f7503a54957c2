// Spectral normalisation of weights (Miyato et al., arXiv:1802.05957), a network's layers together. A weight is a
// matrix w [rows, columns] of one row per output.
#pragma once

#include <ganforge/stream.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace ganforge {

inline constexpr int max_spectral_group = 16;

/// On CUDA a block takes so many columns; workspace has a row of sums for each.
inline constexpr std::int64_t spectral_tile = 64;
constexpr std::int64_t spectral_tiles(std::int64_t columns) {
  return (columns + spectral_tile - 1) / spectral_tile;
}

/// One power iteration: v = wᵀu / ‖wᵀu‖, y = w·v, new_u = y / ‖y‖, sigma = new_uᵀ·w·v, the norms as √(Σ + 1e-24). new_u
/// may be u.
struct PowerIterationArgs {
  const float *w, *u;  // u [rows]
  float *new_u, *v;    // [rows], [columns]
  float* sigma;        // scalar
  std::int64_t rows, columns;
  void* workspace;   // power_iteration_workspace() bytes, any content
  unsigned* ticket;  // CUDA: zero before the first launch; the kernel leaves it zero
};
std::size_t power_iteration_workspace(std::int64_t rows, std::int64_t columns);
void power_iteration(const CpuStream& stream, std::span<const PowerIterationArgs> layers);
void power_iteration(const CudaStream& stream, std::span<const PowerIterationArgs> layers);

/// y = w / sigma, [rows · columns]
struct SpectralScaleArgs {
  const float *w, *sigma;
  float* y;
  std::int64_t n;
};
void spectral_scale(const CpuStream& stream, std::span<const SpectralScaleArgs> layers);
void spectral_scale(const CudaStream& stream, std::span<const SpectralScaleArgs> layers);

/// Likewise so many numbers of a sum.
inline constexpr std::int64_t spectral_part = 16384;

/// dw = dy / sigma − s·u·vᵀ with s = Σ dy·w / sigma², what of dy went through sigma. dw may be dy. On CUDA two kernels:
/// all sums come before any difference.
struct SpectralGradArgs {
  const float *w, *u, *v, *sigma, *dy;
  float* dw;
  std::int64_t rows, columns;
  void* workspace;   // spectral_grad_workspace() bytes, any content
  unsigned* ticket;  // as above
};
std::size_t spectral_grad_workspace(std::int64_t n);
void spectral_grad(const CpuStream& stream, std::span<const SpectralGradArgs> layers);
void spectral_grad(const CudaStream& stream, std::span<const SpectralGradArgs> layers);

}  // namespace ganforge
