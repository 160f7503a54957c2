// conv_subpixel.cuh, weight: x, y → w, and the gradient of the bias, the sums of y's channels.
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

/// A step of k is 16 positions. Columns are (r, s, c), those of one r neighbours in x, too. The tile that has the first
/// column of tap (1, 1), which never is beyond the border, sums y's channels.
template <class Tile>
struct Weight {
  static constexpr bool splits = true;
  using A = AcrossPanel<Tile::m>;
  using B = AcrossPanel<Tile::n>;
  const SubpixelArgs& args;
  A a;
  B b;
  int columns, first_m, first_n, position, end;
  bool one_tap;  // for the whole tile: then positions where that is beyond the border are skipped
  Position step;
  int distance;  // from a position's tap (1, 1) to the thread's four columns

  __device__ Weight(const SubpixelArgs& p, int tile, int part) : args(p), columns(p.s.taps * p.s.c) {
    const Subpixel& s = p.s;
    const int tiles_n = (columns + Tile::n - 1) / Tile::n;
    first_m = tile / tiles_n * Tile::m;
    first_n = tile % tiles_n * Tile::n;
    const int positions = s.n * s.p * s.q, steps = (positions + Tile::k - 1) / Tile::k;
    position = steps * part / s.splits * Tile::k;
    end = min(steps * (part + 1) / s.splits * Tile::k, positions);
    one_tap = s.taps > 1 && s.c % Tile::n == 0;
    step = Position::at(s, position);
    const int column = first_n + B::outer_of(), r = column / (4 * s.c);
    distance = s.taps == 1 ? column : ((r - 1) * s.w - 1) * s.c + column % (4 * s.c);
  }
  __device__ bool sum_a() const { return sums_y(args, first_n, Tile::n); }
  __device__ void put_a_sum(int row, float sum) const {
    if (first_m + row < args.s.k) args.at.bias_grad[first_m + row] = sum;
  }
  __device__ bool inside(const Position& at, int tap) const {
    if (args.s.taps == 1) return true;
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
    const int column = first_n + B::outer_of();
#pragma unroll
    for (int i = 0; i < B::quads; ++i) {
      const Position at = step.ahead(s, B::k_of(i));
      const float* const x = args.at.x + ((at.n * s.h + 2 * at.p) * s.w + 2 * at.q) * s.c + distance;
      const bool there = position + B::k_of(i) < end && column < columns;
      if (args.vector_b) {
        b.held[i] = load_four(x, there && inside(at, column / s.c) ? 4 : 0, true);
      } else {
        const auto element = [&](int e) {
          return there && column + e < columns && inside(at, (column + e) / s.c) ? x[e] : 0.0f;
        };
        b.held[i] = {element(0), element(1), element(2), element(3)};
      }
    }
  }
  __device__ std::int64_t offset(int row) const {
    return first_m + row < args.s.k ? std::int64_t(first_m + row) * columns : -1;
  }
};

/// All layers of a network in one launch; each has its own kind of tile.
__global__ void __launch_bounds__(LargeTile::threads, LargeTile::blocks)
    subpixel_weight_kernel(const __grid_constant__ SubpixelLayers layers) {
  __shared__ __align__(16) float shared[buffers<Weight<LargeTile>>];
  layers.of_block([&](const SubpixelArgs& args, int tile, int part) {
    with_ffma_tile(args.s.tile, [&]<class Tile>(Tile) {
      static_assert(buffers<Weight<Tile>> <= buffers<Weight<LargeTile>> && Tile::threads == LargeTile::threads);
      Weight<Tile> operands(args, tile, part);
      multiply_tile<Tile>(
          args, operands, tile, part, shared,
          at_columns(args, operands.first_n, operands.columns, [&](int row) { return operands.offset(row); }));
    });
  });
}

}  // namespace

/// The tile that wastes least; splits fill the card, each with a sum worth its start.
void plan_subpixel_weight(const CudaStream& stream, Subpixel& s) {
  constexpr int blocks_per_multiprocessor = 3, least_positions = 256;
  std::int64_t best = 0;
  for (int tile = 0; tile < 3; ++tile) {
    with_ffma_tile(tile, [&]<class Tile>(Tile) {
      const std::int64_t count = tiles_of<Tile>(s.k, s.taps * s.c), cost = count * Tile::cost;
      if (best && cost >= best) return;
      best = cost;
      s.tile = tile;
      s.tiles = static_cast<int>(count);
    });
  }
  const int wanted = blocks_per_multiprocessor * stream.multiprocessors / s.tiles;
  s.splits = std::clamp(wanted, 1, (s.positions() + least_positions - 1) / least_positions);
}

std::size_t subpixel_weight_workspace(const Subpixel& s) {
  return with_ffma_tile(s.tile, [&]<class Tile>(Tile) { return parts_bytes<Tile>(s, true); });
}

// Bytes: y is read 16·C / tile.n times, x K / tile.m times for each of its taps (from L2 but for the first), w written
// once; with splits their parts are written and read once more.
void launch_subpixel_weight(const CudaStream& stream, std::span<const SubpixelLayer> group) {
  const SubpixelLayers layers(group);
  subpixel_weight_kernel<<<layers.blocks, LargeTile::threads, 0, queue_of(stream)>>>(layers);
  check_launch("subpixel_weight_kernel");
}

}  // namespace ganforge
