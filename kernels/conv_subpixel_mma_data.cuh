// What conv_subpixel_mma.cuh multiplies in forward and input.
#pragma once

#include "kernels/conv_subpixel_mma.cuh"

namespace ganforge {
namespace {

/// A step of k is 32 channels of one tap: of 16 (forward), or of the four that a phase of x has (input).
template <bool input_, class Tile>
class DataOperands {
 public:
  static constexpr bool input = input_, along_a = true, along_b = !input;
  const TilePlace<Tile, input> at;
  int first_n, columns, left;

  __device__ DataOperands(const SubpixelArgs& args, int tile, int part, int2* rows)
      : at(args.s, tile),
        first_n(at.first_n),
        columns(input ? args.s.c : args.s.k),
        args_(args),
        rows_(rows),
        channels_(input ? args.s.k : args.s.c) {
    unsigned taps = 0;
    for (int row = threadIdx.x; row < Tile::m; row += Tile::threads) {
      rows_[row] = locate(at.first_m + row);
      taps |= rows_[row].y;
    }
    taps = block_or(taps) >> 4;
    const int chunks = (channels_ + Tile::k - 1) / Tile::k, steps = __popc(taps) * chunks;
    const int begin = steps * part / args.s.splits;
    left = steps * (part + 1) / args.s.splits - begin;
    for (int i = begin / chunks; i > 0; --i) taps &= taps - 1;
    taps_ = taps;
    channel_ = begin % chunks * Tile::k;
    // The last channel from which a whole step can be read fast.
    const bool whole = args.vector_a && args.vector_b && first_n + Tile::n <= columns;
    last_whole_ = whole ? channels_ - Tile::k : -1;
    place_a_ = PanelA::place();
    mma::hold(place_a_);
    place_b_ = PanelB::place() + 4 * Tile::m * Tile::k;
    mma::hold(place_b_);
    apart_b_ = 4 * PanelB::rows_apart * std::int64_t(16) * args.s.c;
    step_b_ = along_b ? 4 * Tile::k : 4 * Tile::k * std::int64_t(16) * args.s.c;
    if (left == 0) return;
    const int k = input ? 0 : first_n, c = input ? first_n : 0;
    const float* const a = input ? args.at.y : args.at.x;
#pragma unroll
    for (int i = 0; i < PanelA::copies; ++i) {
      from_a_[i] =
          reinterpret_cast<const char*>(a + rows_[PanelA::row() + i * PanelA::rows_apart].x + PanelA::column());
    }
    from_b_ = reinterpret_cast<const char*>(args.at.w + (k + PanelB::row()) * std::int64_t(16) * args.s.c + c +
                                            PanelB::column());
    start_tap(4 * channel_, channel_ / Tile::k * step_b_);
  }

  __device__ void fetch(std::uint32_t stage) {
    if (channel_ <= last_whole_) {
      const std::uint32_t to = stage + place_a_;
      mma::unrolled<PanelA::copies>(
          [&](auto i) { mma::copy_up_to_16<4 * i * PanelA::rows_apart * Tile::k>(to, from_a_[i], size_a_[i]); });
      PanelB::fetch(stage + place_b_, from_b_, apart_b_);
    } else {
      fetch_edge(stage);
    }
    channel_ += Tile::k;
    if (channel_ < channels_) return advance(4 * Tile::k, step_b_);
    const int steps = (channel_ - Tile::k) / Tile::k;
    channel_ = 0;
    taps_ &= taps_ - 1;
    if (taps_) start_tap(-4 * Tile::k * steps, -steps * step_b_);
  }

  __device__ bool sum_a() const {
    return false;
  }
  __device__ void put_a_sum(int, float) const {}

  /// Replaces what was needed on the way by where the rows go.
  __device__ void locate_rows() {
    for (int row = threadIdx.x; row < Tile::m; row += Tile::threads) rows_[row].x = at.offset(args_.s, row);
  }
  __device__ int offset(int row) const {
    return rows_[row].x;
  }

 private:
  using PanelA = RowsPanel<true, Tile::m, Tile::threads>;
  using PanelB = RowsPanel<along_b, Tile::n, Tile::threads>;

  /// Where tap 0 of a row is in A, and which taps are inside the image (bit 4 + tap).
  __device__ int2 locate(int row) const {
    const Subpixel& s = args_.s;
    if (row >= s.n * s.p * s.q) return {0, 0};
    const int n = row % s.n, place = row / s.n, p = place / s.q, q = place % s.q;
    if constexpr (input) {
      // Bit 2u + v: u = 0 lies at h, u = 1 at h − 1; v likewise.
      const int h = p + at.phase / 2, w = q + at.phase % 2;
      const unsigned vertical = (h < s.p ? 3u : 0u) | (h > 0 ? 12u : 0u);
      const unsigned horizontal = (w < s.q ? 5u : 0u) | (w > 0 ? 10u : 0u);
      return {((n * s.p + h) * s.q + w) * s.k, static_cast<int>((vertical & horizontal) << 4)};
    } else {
      const unsigned inside = 0xfu & ~(q == 0 ? 1u : 0u) & ~(q == s.q - 1 ? 8u : 0u);
      const unsigned taps = 0x1111u * inside & ~(p == 0 ? 0x000fu : 0u) & ~(p == s.p - 1 ? 0xf000u : 0u);
      return {((n * s.h + 2 * p - 1) * s.w + 2 * q - 1) * s.c, static_cast<int>(taps << 4)};
    }
  }
  /// By so many bytes.
  __device__ void advance(std::int64_t a, std::int64_t b) {
#pragma unroll
    for (int i = 0; i < PanelA::copies; ++i) from_a_[i] += a;
    from_b_ += b;
  }

  /// Goes on from the tap before to the first of `taps_`, and by so many bytes in the channels.
  __device__ void start_tap(std::int64_t a, std::int64_t b) {
    const Subpixel& s = args_.s;
    const int tap = __ffs(static_cast<int>(taps_)) - 1, r = tap / (input ? 2 : 4), t = tap % (input ? 2 : 4);
    const int tap_a = 4 * (input ? -(r * s.q + t) * s.k : (r * s.w + t) * s.c);
    const int tap_b = 4 * (input ? (1 - at.phase / 2 + 2 * r) * 4 + 1 - at.phase % 2 + 2 * t : tap) * s.c;
    advance(a + tap_a - tap_a_, b + tap_b - tap_b_);
    tap_ = tap;
    tap_a_ = tap_a;
    tap_b_ = tap_b;
#pragma unroll
    for (int i = 0; i < PanelA::copies; ++i) {
      size_a_[i] = rows_[PanelA::row() + i * PanelA::rows_apart].y >> tap & 16;
    }
  }

  __device__ void fetch_edge(std::uint32_t stage) const {
    const int channels = channels_ - channel_, left_a = channels - PanelA::column();
    const char* const a = reinterpret_cast<const char*>(input ? args_.at.y : args_.at.x) + tap_a_;
#pragma unroll 1
    for (int i = 0; i < PanelA::copies; ++i) {
      const int row = PanelA::row() + i * PanelA::rows_apart;
      const std::uint32_t to = stage + place_a_ + 4 * i * PanelA::rows_apart * Tile::k;
      const char* const from = a + 4 * (std::int64_t(rows_[row].x) + channel_ + PanelA::column());
      const int left = rows_[row].y >> tap_ & 16 ? left_a : 0;
      if (args_.vector_a) {
        mma::copy_16(to, from, left > 0);
      } else {
#pragma unroll
        for (int e = 0; e < 4; ++e) mma::copy_4(to + 4 * e, from + 4 * e, e < left);
      }
    }
    const int outer = columns - first_n;
    PanelB::fetch_edge(stage + place_b_, from_b_, apart_b_, (along_b ? outer : channels) - PanelB::row(),
                       (along_b ? channels : outer) - PanelB::column(), args_.vector_b);
  }

  const SubpixelArgs& args_;
  int2* rows_;
  int channels_, channel_, last_whole_;
  unsigned taps_;                        // still to do
  int tap_ = 0, tap_a_ = 0, tap_b_ = 0;  // the current one, and bytes from tap 0 to it
  std::int64_t apart_b_, step_b_;        // bytes from row to row of a thread, and from step to step of a tap
  const char* from_a_[PanelA::copies];
  int size_a_[PanelA::copies];
  const char* from_b_;
  std::uint32_t place_a_, place_b_;
};

}  // namespace
}  // namespace ganforge
