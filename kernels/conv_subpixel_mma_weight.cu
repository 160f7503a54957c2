// conv_subpixel_mma.cuh, weight: x, y → w, and the gradient of the bias, the sums of y's channels.
#include "kernels/conv_subpixel_mma.cuh"

#include <algorithm>

namespace ganforge {
namespace {

/// A step of k is 32 images at one place of y. Columns are (r, s, c). Places where every tap of the tile is beyond the
/// border are left out. The tile that has the first column of tap (1, 1), which never is, sums y's channels.
template <class Tile>
class WeightOperands {
 public:
  static constexpr bool along_a = false, along_b = false;
  int first_n, columns, left;

  __device__ WeightOperands(const SubpixelArgs& args, int tile, int part)
      : columns(args.s.taps * args.s.c), args_(args) {
    const Subpixel& s = args.s;
    const int tiles_n = (columns + Tile::n - 1) / Tile::n;
    first_m_ = tile / tiles_n * Tile::m;
    first_n = tile % tiles_n * Tile::n;
    const int low = first_n / s.c, high = (min(first_n + Tile::n, columns) - 1) / s.c;  // taps
    const bool border = s.taps > 1, one_row = border && low / 4 == high / 4;
    const int first_p = border && high / 4 == 0 ? 1 : 0, end_p = border && low / 4 == 3 ? s.p - 1 : s.p;
    first_q_ = one_row && high % 4 == 0 ? 1 : 0;
    end_q_ = one_row && low % 4 == 3 ? s.q - 1 : s.q;
    const int chunks = (s.n + Tile::k - 1) / Tile::k, row = (end_q_ - first_q_) * chunks;
    const int steps = (end_p - first_p) * row, begin = steps * part / s.splits;
    left = steps * (part + 1) / s.splits - begin;
    const bool whole = args.vector_a && args.vector_b && first_m_ + Tile::m <= s.k && first_n + Tile::n <= columns;
    images_ = s.n;
    last_whole_ = whole ? s.n - Tile::k : -1;
    place_a_ = PanelA::place();
    mma::hold(place_a_);
    place_b_ = PanelB::place() + 4 * Tile::m * Tile::k;
    mma::hold(place_b_);
    image_y_ = 4 * std::int64_t(s.p) * s.q * s.k;
    image_x_ = 4 * std::int64_t(s.h) * s.w * s.c;
    to_next_a_ = 4 * s.k - (chunks - 1) * Tile::k * image_y_;
    to_next_b_ = 8 * s.c - (chunks - 1) * Tile::k * image_x_;
    if (left == 0) return;
    // Columns of one r are neighbours in x, too.
    const int column = first_n + PanelB::column(), r = column / (4 * s.c);
    const int first_column = 4 * (border ? ((r - 1) * s.w - 1) * s.c + column % (4 * s.c) : column);
    p_ = first_p + begin / row;
    q_ = first_q_ + begin % row / chunks;
    n_ = begin % chunks * Tile::k;
    from_a_ = reinterpret_cast<const char*>(args.at.y + (p_ * s.q + q_) * s.k + first_m_ + PanelA::column()) +
              (n_ + PanelA::row()) * image_y_;
    from_b_ = reinterpret_cast<const char*>(args.at.x + (2 * p_ * s.w + 2 * q_) * s.c) +
              (n_ + PanelB::row()) * image_x_ + first_column;
    inside_ = inside();
  }

  __device__ void fetch(std::uint32_t stage) {
    if (n_ <= last_whole_) {
      PanelA::fetch(stage + place_a_, from_a_, PanelA::rows_apart * image_y_);
      PanelB::fetch(stage + place_b_, from_b_, PanelB::rows_apart * image_x_, inside_ & 1);
    } else {
      fetch_edge(stage);
    }
    n_ += Tile::k;
    if (n_ < images_) {
      from_a_ += Tile::k * image_y_;
      from_b_ += Tile::k * image_x_;
      return;
    }
    n_ = 0;
    from_a_ += to_next_a_;
    from_b_ += to_next_b_;
    if (++q_ == end_q_) {
      const Subpixel& s = args_.s;
      const int row = end_q_ - first_q_;
      from_a_ += 4 * (s.q - row) * s.k;
      from_b_ += 8 * (s.w - row) * s.c;
      q_ = first_q_;
      ++p_;
    }
    inside_ = inside();
  }

  __device__ bool sum_a() const { return sums_y(args_, first_n, Tile::n); }
  __device__ void put_a_sum(int row, float sum) const {
    if (first_m_ + row < args_.s.k) args_.at.bias_grad[first_m_ + row] = sum;
  }
  __device__ void locate_rows() const {}
  __device__ int offset(int row) const { return first_m_ + row < args_.s.k ? (first_m_ + row) * columns : -1; }

 private:
  using PanelA = RowsPanel<false, Tile::m, Tile::threads>;
  using PanelB = RowsPanel<false, Tile::n, Tile::threads>;

  /// Which of the thread's four columns have a tap that exists and at this place is inside the image, as bits. With
  /// vectors they have one tap, and one bit is enough.
  __device__ unsigned inside() const {
    const Subpixel& s = args_.s;
    const int column = first_n + PanelB::column(), h = 2 * p_ - 1 + column / (4 * s.c);
    if (column >= columns) return 0;
    if (s.taps == 1) return 15u >> max(column + 4 - columns, 0);
    if (h < 0 || h >= s.h) return 0;
    const auto bit = [&](int e) {
      const int w = 2 * q_ - 1 + (column + e) / s.c % 4;
      return w >= 0 && w < s.w ? 1u << e : 0u;
    };
    return args_.vector_b ? bit(0) : bit(0) | bit(1) | bit(2) | bit(3);
  }

  __device__ void fetch_edge(std::uint32_t stage) const {
    const Subpixel& s = args_.s;
    PanelA::fetch_edge(stage + place_a_, from_a_, PanelA::rows_apart * image_y_, s.n - n_ - PanelA::row(),
                       s.k - first_m_ - PanelA::column(), args_.vector_a);
    const char* from = from_b_;
    std::uint32_t to = stage + place_b_;
#pragma unroll 1
    for (int i = 0; i < PanelB::copies; ++i) {
      const bool there = n_ + PanelB::row() + i * PanelB::rows_apart < s.n;
      if (args_.vector_b) {
        mma::copy_16(to, from, there && inside_ & 1);
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e) mma::copy_4(to + 4 * e, from + 4 * e, there && inside_ >> e & 1);
      }
      from += PanelB::rows_apart * image_x_;
      to += 4 * PanelB::rows_apart * PanelB::row_floats;
    }
  }

  const SubpixelArgs& args_;
  int first_m_, first_q_, end_q_, p_, q_, n_;
  int images_, last_whole_;  // the last image from which a whole step can be read fast
  unsigned inside_;
  std::int64_t image_y_, image_x_, to_next_a_, to_next_b_;  // bytes
  const char *from_a_, *from_b_;
  std::uint32_t place_a_, place_b_;
};

constexpr int weight_threads = 128;

/// All layers of a network in one launch; each has its own kind of tile, whose blocks have the same number of threads.
template <bool bf16>
__global__ void __launch_bounds__(weight_threads)
    subpixel_mma_weight_kernel(const __grid_constant__ SubpixelLayers layers) {
  layers.of_block([](const SubpixelArgs& args, int tile, int part) {
    with_mma_tile(args.s.tile, [&]<class Tile>(Tile) {
      static_assert(Tile::threads == weight_threads);
      WeightOperands<Tile> operands(args, tile, part);
      multiply_tile<Tile, WeightOperands<Tile>, bf16>(
          args, operands, tile, part,
          at_columns(args, operands.first_n, operands.columns, [&](int row) { return operands.offset(row); }));
    });
  });
}

}  // namespace

void launch_subpixel_mma_weight(const CudaStream& stream, std::span<const SubpixelLayer> group) {
  const SubpixelLayers layers(group);
  int shared_bytes = 0;
  for (const SubpixelLayer& layer : group) {
    with_mma_tile(layer.s.tile, [&]<class Tile>(Tile) { shared_bytes = std::max(shared_bytes, Tile::shared_bytes); });
  }
  const auto kernel =
      stream.precision == Precision::bf16 ? subpixel_mma_weight_kernel<true> : subpixel_mma_weight_kernel<false>;
  check_cuda(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes),
             "subpixel_mma_weight_kernel: shared memory");
  kernel<<<layers.blocks, weight_threads, shared_bytes, queue_of(stream)>>>(layers);
  check_launch("subpixel_mma_weight_kernel");
}

}  // namespace ganforge
