// conv_subpixel.cuh, input: y, w → x.
#include "kernels/conv_subpixel_fp32.cuh"

namespace ganforge {
namespace {

/// Rows are positions of y and pixels of one phase of x; a step of k is 16 channels of one of the phase's four taps.
/// The phases of a tile are neighbours in the grid: they read the same rows of y.
template <class Tile>
struct Input {
  static constexpr bool splits = false;
  using A = AlongPanel<Tile::m>;
  using B = AcrossPanel<Tile::n>;
  const SubpixelArgs& args;
  A a;
  B b;
  int columns, first_m, first_n, phase_h, phase_w;
  int base[A::quads];  // of tap u = v = 0
  unsigned inside[A::quads], block_taps = 0;
  int tap = -1, channel = 0;

  __device__ explicit Input(const SubpixelArgs& p) : args(p), columns(p.s.c) {
    const Subpixel& s = p.s;
    const int tile = blockIdx.x / 4, tiles_n = (columns + Tile::n - 1) / Tile::n;
    phase_h = blockIdx.x / 2 % 2;
    phase_w = blockIdx.x % 2;
    first_m = tile / tiles_n * Tile::m;
    first_n = tile % tiles_n * Tile::n;
    unsigned taps = 0;
#pragma unroll
    for (int i = 0; i < A::quads; ++i) {
      const int row = first_m + A::outer_of(i);
      base[i] = 0;
      inside[i] = 0;
      if (row >= s.n * s.p * s.q) continue;
      const int n = row % s.n, h = row / s.n / s.q + phase_h, w = row / s.n % s.q + phase_w;
      base[i] = ((n * s.p + h) * s.q + w) * s.k;
      // Bit 2u + v: u = 0 lies at h, u = 1 at h − 1; v likewise.
      inside[i] = (h < s.p ? 3u : 0u) | (h > 0 ? 12u : 0u);
      inside[i] &= (w < s.q ? 5u : 0u) | (w > 0 ? 10u : 0u);
      taps |= inside[i];
    }
    block_taps = block_or(taps);
  }
  __device__ bool first() {
    channel = args.s.k;
    return next();
  }
  __device__ bool next() {
    channel += Tile::k;
    if (channel < args.s.k) return true;
    channel = 0;
    do ++tap;
    while (tap < 4 && !(block_taps >> tap & 1));
    return tap < 4;
  }
  __device__ void fetch() {
    const Subpixel& s = args.s;
    const int from = channel + A::k_of(), left = s.k - from, in_y = from - (tap / 2 * s.q + tap % 2) * s.k;
#pragma unroll
    for (int i = 0; i < A::quads; ++i) {
      a.held[i] = load_four(args.at.y + base[i] + in_y, inside[i] >> tap & 1 ? left : 0, args.vector_a);
    }
    const int r = 1 - phase_h + tap / 2 * 2, t = 1 - phase_w + tap % 2 * 2, column = first_n + B::outer_of();
#pragma unroll
    for (int i = 0; i < B::quads; ++i) {
      const int k = channel + B::k_of(i);
      b.held[i] = load_four(args.at.w + (std::int64_t(k) * 16 + r * 4 + t) * s.c + column, k < s.k ? s.c - column : 0,
                            args.vector_b);
    }
  }
  __device__ std::int64_t offset(int row) const {
    const Subpixel& s = args.s;
    if (first_m + row >= s.n * s.p * s.q) return -1;
    const int n = (first_m + row) % s.n, place = (first_m + row) / s.n;
    const int h = place / s.q * 2 + phase_h, w = place % s.q * 2 + phase_w;
    return (std::int64_t(n * s.h + h) * s.w + w) * s.c;
  }
};

template <class Tile>
void launch(const CudaStream& stream, const SubpixelArgs& args) {
  const unsigned grid = 4 * tiles(args.s.positions(), Tile::m) * tiles(args.s.c, Tile::n);
  subpixel_kernel<Tile, Input<Tile>><<<grid, Tile::threads, 0, queue_of(stream)>>>(args);
  check_launch("subpixel_kernel");
}

}  // namespace

// Bytes: y is read 4 · C / tile.n times, w N·P·Q / tile.m times (from L2 but for the
// first), x written and bias and mask read once.
void launch_subpixel_input(const CudaStream& stream, const Subpixel& s, const ConvEpilogue& epilogue,
                           const ConvArgs& at) {
  const ConvFinish finish(epilogue, at);
  const SubpixelArgs args{
      .s = s,
      .at = at,
      .finish = finish,
      .vector_a = vectors(s.k, at.y),
      .vector_b = vectors(s.c, at.w),
      .vector_out = finish.in_fours(s.c, at.out)};
  with_tile(stream, s.positions(), s.c, 4, [&]<class Tile>(Tile) { launch<Tile>(stream, args); });
}

}  // namespace ganforge
