// conv_subpixel.cuh, weight: x, y → w.
#include "kernels/conv_subpixel_fp32.cuh"

#include <algorithm>

namespace ganforge {
namespace {

/// A place in y, in the order (p, q, n).
struct Position {
  int n, p, q;

  __device__ static Position at(const Subpixel& s, int index) {
    const int place = index / s.n;
    return {index % s.n, place / s.q, place % s.q};
  }
  /// Without a division: there are rarely fewer images than positions to go.
  __device__ Position ahead(const Subpixel& s, int by) const {
    Position to = {n + by, p, q};
    while (to.n >= s.n) {
      to.n -= s.n;
      if (++to.q == s.q) to.q = 0, ++to.p;
    }
    return to;
  }
};

/// A step of k is 16 positions. Columns are (r, s, c): a column's pixel of x is a fixed distance from the position's
/// tap (0, 0).
template <class Tile>
struct Weight {
  using A = AcrossPanel<Tile::m>;
  using B = AcrossPanel<Tile::n>;
  const SubpixelArgs& args;
  A a;
  B b;
  int columns, first_m, first_n, position, end;
  bool one_tap;  // for the whole tile: then positions where that is beyond the border are skipped
  Position step;
  int tap[4], distance[4];  // of the thread's four columns

  __device__ explicit Weight(const SubpixelArgs& p) : args(p), columns(16 * p.s.c) {
    const Subpixel& s = p.s;
    const int tiles_n = (columns + Tile::n - 1) / Tile::n;
    first_m = blockIdx.x / tiles_n * Tile::m;
    first_n = blockIdx.x % tiles_n * Tile::n;
    position = blockIdx.y * s.split_positions;
    end = min(position + s.split_positions, s.n * s.p * s.q);
    one_tap = s.c % Tile::n == 0;
    step = Position::at(s, position);
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int column = first_n + B::outer_of() + j;
      tap[j] = column / s.c;
      distance[j] = ((tap[j] / 4 - 1) * s.w + tap[j] % 4 - 1) * s.c + column % s.c;
    }
  }
  __device__ bool inside(const Position& at, int tap) const {
    const int h = 2 * at.p - 1 + tap / 4, w = 2 * at.q - 1 + tap % 4;
    return h >= 0 && h < args.s.h && w >= 0 && w < args.s.w;
  }
  /// All positions of the step are at one place, which the tile's tap leaves outside of the image.
  __device__ bool outside() const {
    return one_tap && step.n + Tile::k <= args.s.n && !inside(step, first_n / args.s.c);
  }
  __device__ void advance() {
    position += Tile::k;
    step = step.ahead(args.s, Tile::k);
  }
  __device__ bool first() {
    while (position < end && outside()) advance();
    return position < end;
  }
  __device__ bool next() {
    advance();
    return first();
  }
  __device__ void fetch() {
    const Subpixel& s = args.s;
    const int row = first_m + A::outer_of(), left = s.k - row;
#pragma unroll
    for (int i = 0; i < A::quads; ++i) {
      const Position at = step.ahead(s, A::k_of(i));
      a.held[i] = load_four(args.at.y + ((at.n * s.p + at.p) * s.q + at.q) * s.k + row,
                            position + A::k_of(i) < end ? left : 0, args.vector_a);
    }
#pragma unroll
    for (int i = 0; i < B::quads; ++i) {
      const Position at = step.ahead(s, B::k_of(i));
      const float* const x = args.at.x + ((at.n * s.h + 2 * at.p) * s.w + 2 * at.q) * s.c;
      const bool there = position + B::k_of(i) < end;
      if (args.vector_b) {
        b.held[i] = load_four(x + distance[0], there && tap[0] < 16 && inside(at, tap[0]) ? 4 : 0, true);
      } else {
        const auto element = [&](int j) { return there && tap[j] < 16 && inside(at, tap[j]) ? x[distance[j]] : 0.0f; };
        b.held[i] = {element(0), element(1), element(2), element(3)};
      }
    }
  }
  __device__ std::int64_t offset(int row) const {
    if (first_m + row >= args.s.k) return -1;
    return (std::int64_t(blockIdx.y) * args.s.k + first_m + row) * columns;
  }
};

// out[i] = Σ parts[split, i], in the order of splits. Neighbouring threads take neighbouring groups of four. Floor: one
// launch, parts read and out written once.
__global__ void add_splits_kernel(const float4* parts, float* out, std::int64_t fours, int splits, bool vector) {
  const std::int64_t i = blockIdx.x * std::int64_t(blockDim.x) + threadIdx.x;
  if (i >= fours) return;
  float4 sum = parts[i];
  for (int split = 1; split < splits; ++split) {
    const float4 v = parts[split * fours + i];
    sum.x += v.x, sum.y += v.y, sum.z += v.z, sum.w += v.w;
  }
  if (vector) {
    __stwb(reinterpret_cast<float4*>(out) + i, sum);
  } else {
    out[4 * i] = sum.x, out[4 * i + 1] = sum.y, out[4 * i + 2] = sum.z, out[4 * i + 3] = sum.w;
  }
}

/// The tile that wastes least: the splits fill the card in any case.
template <class F>
void with_weight_tile(const Subpixel& s, F f) {
  with_tile([&]<class Tile>(Tile) { return tiles_of<Tile>(s.k, 16 * s.c) * Tile::cost; }, f);
}

template <class Tile>
void launch(const CudaStream& stream, const SubpixelArgs& args) {
  subpixel_kernel<Tile, Weight<Tile>>
      <<<dim3(static_cast<unsigned>(tiles_of<Tile>(args.s.k, 16 * args.s.c)), args.s.splits), Tile::threads, 0,
         queue_of(stream)>>>(args);
  check_launch("subpixel_kernel");
}

}  // namespace

void split_subpixel_weight(const CudaStream& stream, Subpixel& s) {
  constexpr int blocks_per_multiprocessor = 3, least_positions = 256;
  std::int64_t tiles_of_w = 1;
  with_weight_tile(s, [&]<class Tile>(Tile) { tiles_of_w = tiles_of<Tile>(s.k, 16 * s.c); });
  const int wanted = static_cast<int>(blocks_per_multiprocessor * stream.multiprocessors / tiles_of_w);
  const int splits = std::clamp(wanted, 1, (s.positions() + least_positions - 1) / least_positions);
  s.split_positions = static_cast<int>(16 * tiles(tiles(s.positions(), splits), 16));
  s.splits = static_cast<int>(tiles(s.positions(), s.split_positions));
}

// Bytes: y is read 16·C / tile.n times, x K / tile.m times for each of its taps (from L2 but for the first), w written
// once; with splits their parts are written and read once more.
void launch_subpixel_weight(const CudaStream& stream, const Subpixel& s, const ConvArgs& at) {
  const bool split = s.splits > 1;
  SubpixelArgs args{.s = s,
                    .at = at,
                    .finish = {},
                    .vector_a = vectors(s.k, at.y),
                    .vector_b = vectors(s.c, at.x),
                    .vector_out = split || fours_aligned(at.out)};
  if (split) args.at.out = static_cast<float*>(at.workspace);
  with_weight_tile(s, [&]<class Tile>(Tile) { launch<Tile>(stream, args); });
  if (!split) return;
  const std::int64_t fours = std::int64_t(4) * s.k * s.c;
  add_splits_kernel<<<tiles(fours, elementwise_threads), elementwise_threads, 0, queue_of(stream)>>>(
      reinterpret_cast<const float4*>(args.at.out), at.out, fours, s.splits, fours_aligned(at.out));
  check_launch("add_splits_kernel");
}

}  // namespace ganforge
