// conv_subpixel.cuh, forward: x, w → y.
#include "kernels/conv_subpixel_fp32.cuh"

namespace ganforge {
namespace {

/// The rows of a tile: positions of y.
template <class Tile>
struct ForwardRows {
  static constexpr bool splits = false;
  const SubpixelArgs& args;
  int columns, first_m, first_n;

  __device__ explicit ForwardRows(const SubpixelArgs& p) : args(p), columns(p.s.k) {
    const int tiles_n = (columns + Tile::n - 1) / Tile::n;
    first_m = blockIdx.x / tiles_n * Tile::m;
    first_n = blockIdx.x % tiles_n * Tile::n;
  }
  /// Where tap (0, 0) of a row is in x, and which of the 16 taps are inside the image.
  __device__ void locate(int row, int& base, unsigned& taps) const {
    const Subpixel& s = args.s;
    base = 0;
    taps = 0;
    if (first_m + row >= s.n * s.p * s.q) return;
    const int n = (first_m + row) % s.n, place = (first_m + row) / s.n, p = place / s.q, q = place % s.q;
    base = ((n * s.h + 2 * p - 1) * s.w + 2 * q - 1) * s.c;
    const unsigned columns_inside = 0xfu & ~(q == 0 ? 1u : 0u) & ~(q == s.q - 1 ? 8u : 0u);
    taps = 0x1111u * columns_inside & ~(p == 0 ? 0x000fu : 0u) & ~(p == s.p - 1 ? 0xf000u : 0u);
  }
  __device__ std::int64_t offset(int row) const {
    const Subpixel& s = args.s;
    if (first_m + row >= s.n * s.p * s.q) return -1;
    const int n = (first_m + row) % s.n, place = (first_m + row) / s.n;
    return (std::int64_t(n) * s.p * s.q + place) * s.k;
  }
};

/// A step of k is 16 channels of a tap.
template <class Tile>
struct Forward : ForwardRows<Tile> {
  using A = AlongPanel<Tile::m>;
  using B = AlongPanel<Tile::n>;
  using ForwardRows<Tile>::args;
  A a;
  B b;
  int base[A::quads];
  unsigned inside[A::quads], block_taps = 0;
  int tap = -1, channel = 0;

  __device__ explicit Forward(const SubpixelArgs& p) : ForwardRows<Tile>(p) {
    unsigned taps = 0;
#pragma unroll
    for (int i = 0; i < A::quads; ++i) {
      this->locate(A::outer_of(i), base[i], inside[i]);
      taps |= inside[i];
    }
    block_taps = block_or(taps);
  }
  __device__ bool first() {
    channel = args.s.c;
    return next();
  }
  __device__ bool next() {
    channel += Tile::k;
    if (channel < args.s.c) return true;
    channel = 0;
    do ++tap;
    while (tap < 16 && !(block_taps >> tap & 1));
    return tap < 16;
  }
  __device__ void fetch() {
    const Subpixel& s = args.s;
    const int from = channel + A::k_of(), left = s.c - from, in_x = (tap / 4 * s.w + tap % 4) * s.c + from;
#pragma unroll
    for (int i = 0; i < A::quads; ++i) {
      a.held[i] = load_four(args.at.x + base[i] + in_x, inside[i] >> tap & 1 ? left : 0, args.vector_a);
    }
#pragma unroll
    for (int i = 0; i < B::quads; ++i) {
      const int k = this->first_n + column_of<Tile::threads_n>(B::outer_of(i));
      b.held[i] = load_four(args.at.w + (std::int64_t(k) * 16 + tap) * s.c + from, k < s.k ? left : 0, args.vector_b);
    }
  }
};

template <class Tile, class Operands>
void launch(const CudaStream& stream, const SubpixelArgs& args) {
  const unsigned grid = tiles(args.s.positions(), Tile::m) * tiles(args.s.k, Tile::n);
  subpixel_kernel<Tile, Operands><<<grid, Tile::threads, 0, queue_of(stream)>>>(args);
  check_launch("subpixel_kernel");
}

}  // namespace

// Bytes: x is read K / tile.n times (from L2 but for the first), w N·P·Q / tile.m times, y written and bias and mask
// read once.
void launch_subpixel_forward(const CudaStream& stream, const Subpixel& s, const ConvEpilogue& epilogue,
                             const ConvArgs& at) {
  const ConvFinish finish(epilogue, at);
  const SubpixelArgs args{
      .s = s,
      .at = at,
      .finish = finish,
      .vector_a = vectors(s.c, at.x),
      .vector_b = vectors(s.c, at.w),
      .vector_out = finish.in_fours(s.k, at.out)};
  with_tile(stream, s.positions(), s.k, 1, [&]<class Tile>(Tile) { launch<Tile, Forward<Tile>>(stream, args); });
}

}  // namespace ganforge
