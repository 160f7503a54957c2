// What conv_subpixel_fp32.cuh multiplies in forward and input.
#pragma once

#include "kernels/conv_subpixel_fp32.cuh"

namespace ganforge {
namespace {

/// Where a step of k is: `width` channels of one of the taps that some row of the block has.
template <int taps, int width>
struct TapStep {
  int tap = -1, channel = 0;

  __device__ bool first(int channels, unsigned of_block) {
    channel = channels;
    return next(channels, of_block);
  }
  /// False behind the last one.
  __device__ bool next(int channels, unsigned of_block) {
    channel += width;
    if (channel < channels) return true;
    channel = 0;
    do ++tap;
    while (tap < taps && !(of_block >> tap & 1));
    return tap < taps;
  }
};

/// A step of k is 16 channels of a tap.
template <class Tile>
struct Forward {
  using A = AlongPanel<Tile::m>;
  using B = AlongPanel<Tile::n>;
  static constexpr bool input = false, splits = false;
  const SubpixelArgs& args;
  const TilePlace<Tile, false> place;
  A a;
  B b;
  int base[A::quads];  // of tap (0, 0)
  unsigned inside[A::quads], block_taps = 0;
  TapStep<16, Tile::k> step;

  __device__ Forward(const SubpixelArgs& p, int tile) : args(p), place(p.s, tile) {
    const Subpixel& s = p.s;
    unsigned taps = 0;
#pragma unroll
    for (int i = 0; i < A::quads; ++i) {
      const int row = place.first_m + A::outer_of(i);
      base[i] = 0;
      inside[i] = 0;
      if (row >= s.n * s.p * s.q) continue;
      const int n = row % s.n, h = row / s.n / s.q, w = row / s.n % s.q;
      base[i] = ((n * s.h + 2 * h - 1) * s.w + 2 * w - 1) * s.c;
      const unsigned columns_inside = 0xfu & ~(w == 0 ? 1u : 0u) & ~(w == s.q - 1 ? 8u : 0u);
      inside[i] = 0x1111u * columns_inside & ~(h == 0 ? 0x000fu : 0u) & ~(h == s.p - 1 ? 0xf000u : 0u);
      taps |= inside[i];
    }
    block_taps = block_or(taps);
  }
  __device__ bool first() {
    return step.first(args.s.c, block_taps);
  }
  __device__ bool next() {
    return step.next(args.s.c, block_taps);
  }
  __device__ void fetch() {
    const Subpixel& s = args.s;
    const auto [tap, channel] = step;
    const int from = channel + A::k_of(), left = s.c - from, in_x = (tap / 4 * s.w + tap % 4) * s.c + from;
#pragma unroll
    for (int i = 0; i < A::quads; ++i) {
      a.held[i] = load_four(args.at.x + base[i] + in_x, inside[i] >> tap & 1 ? left : 0, args.vector_a);
    }
#pragma unroll
    for (int i = 0; i < B::quads; ++i) {
      const int k = place.first_n + column_of<Tile::threads_n>(B::outer_of(i));
      b.held[i] = load_four(args.at.w + (std::int64_t(k) * 16 + tap) * s.c + from, k < s.k ? left : 0, args.vector_b);
    }
  }
};

/// Rows are positions of y and pixels of one phase of x; a step of k is 16 channels of one of the phase's four taps.
template <class Tile>
struct Input {
  static constexpr bool input = true, splits = false;
  using A = AlongPanel<Tile::m>;
  using B = AcrossPanel<Tile::n>;
  const SubpixelArgs& args;
  const TilePlace<Tile, true> place;
  A a;
  B b;
  int base[A::quads];  // of tap u = v = 0
  unsigned inside[A::quads], block_taps = 0;
  TapStep<4, Tile::k> step;

  __device__ Input(const SubpixelArgs& p, int tile) : args(p), place(p.s, tile) {
    const Subpixel& s = p.s;
    unsigned taps = 0;
#pragma unroll
    for (int i = 0; i < A::quads; ++i) {
      const int row = place.first_m + A::outer_of(i);
      base[i] = 0;
      inside[i] = 0;
      if (row >= s.n * s.p * s.q) continue;
      const int n = row % s.n, h = row / s.n / s.q + place.phase / 2, w = row / s.n % s.q + place.phase % 2;
      base[i] = ((n * s.p + h) * s.q + w) * s.k;
      // Bit 2u + v: u = 0 lies at h, u = 1 at h − 1; v likewise.
      inside[i] = (h < s.p ? 3u : 0u) | (h > 0 ? 12u : 0u);
      inside[i] &= (w < s.q ? 5u : 0u) | (w > 0 ? 10u : 0u);
      taps |= inside[i];
    }
    block_taps = block_or(taps);
  }
  __device__ bool first() {
    return step.first(args.s.k, block_taps);
  }
  __device__ bool next() {
    return step.next(args.s.k, block_taps);
  }
  __device__ void fetch() {
    const Subpixel& s = args.s;
    const auto [tap, channel] = step;
    const int from = channel + A::k_of(), left = s.k - from, in_y = from - (tap / 2 * s.q + tap % 2) * s.k;
#pragma unroll
    for (int i = 0; i < A::quads; ++i) {
      a.held[i] = load_four(args.at.y + base[i] + in_y, inside[i] >> tap & 1 ? left : 0, args.vector_a);
    }
    const int r = 1 - place.phase / 2 + tap / 2 * 2, t = 1 - place.phase % 2 + tap % 2 * 2,
              column = place.first_n + B::outer_of();
#pragma unroll
    for (int i = 0; i < B::quads; ++i) {
      const int k = channel + B::k_of(i);
      b.held[i] = load_four(args.at.w + (std::int64_t(k) * 16 + r * 4 + t) * s.c + column, k < s.k ? s.c - column : 0,
                            args.vector_b);
    }
  }
};

template <class Tile, class Operands>
__global__ void __launch_bounds__(Tile::threads, Tile::blocks)
    subpixel_kernel(const __grid_constant__ SubpixelArgs args) {
  __shared__ __align__(16) float shared[buffers<Operands>];
  Operands operands(args, blockIdx.x);
  multiply_tile<Tile>(args, operands, 0, 0, shared,
                      at_columns(args, operands.place.first_n, Operands::input ? args.s.c : args.s.k,
                                 [&](int row) { return operands.place.offset(args.s, row); }));
}

}  // namespace
}  // namespace ganforge
