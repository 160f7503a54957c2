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

// x of at most four channels, a generator's last layer: y is read once (but for the halo), all 16 taps of a position
// are taken at once.
//
// A block has a patch of 16 × 16 positions of an image, 2 × 2 pixels of x each; a thread has two positions, one below
// the other, hence 2 × 4 pixels, and sums over 4 × 3 positions of y. Channels of y come in steps of eight through
// shared memory, a position's eight beside each other and four floats apart from the next's: lanes read neighbouring
// positions without bank conflicts. The weights of a channel are 16·C neighbours in memory, which all threads read at
// once. The result leaves through shared memory as whole rows. Floor: y once ((18/16)² with the halo, from L2), x once.
constexpr int few_patch = 16, few_halo = few_patch + 2, few_step = 8, few_row = few_step + 4, few_threads = 128;

template <int channels>
__global__ void __launch_bounds__(few_threads) subpixel_few_kernel(const __grid_constant__ SubpixelArgs args) {
  constexpr int y_floats = few_halo * few_halo * few_row, w_row = 16 * channels;
  constexpr int x_row = 2 * few_patch * channels, x_floats = 2 * few_patch * x_row;
  __shared__ __align__(16) float y[y_floats > x_floats ? y_floats : x_floats], w[few_step * w_row];
  const Subpixel& s = args.s;
  const int patches_q = (s.q + few_patch - 1) / few_patch, patches_p = (s.p + few_patch - 1) / few_patch;
  const int n = blockIdx.x / (patches_p * patches_q), patch = blockIdx.x % (patches_p * patches_q);
  const int first_p = patch / patches_q * few_patch, first_q = patch % patches_q * few_patch;
  const int column = threadIdx.x % few_patch, row = threadIdx.x / few_patch * 2;

  float sums[4][2][channels] = {};  // of rows 2·row … of x, two pixels
  for (int first_k = 0; first_k < s.k; first_k += few_step) {
    __syncthreads();
    for (int i = threadIdx.x; i < few_halo * few_halo * (few_step / 4); i += few_threads) {
      const int place = i / (few_step / 4), k = i % (few_step / 4) * 4;
      const int p = first_p - 1 + place / few_halo, q = first_q - 1 + place % few_halo;
      const bool inside = p >= 0 && p < s.p && q >= 0 && q < s.q;
      store_shared(y + place * few_row + k,
                   load_four(args.at.y + (std::int64_t(n * s.p + p) * s.q + q) * s.k + first_k + k,
                             inside ? s.k - first_k - k : 0, args.vector_a));
    }
    for (int i = threadIdx.x; i < few_step * w_row / 4; i += few_threads) {
      const int k = first_k + i / (w_row / 4);
      store_shared(w + 4 * i,
                   load_four(args.at.w + (std::int64_t(first_k) * w_row + 4 * i), k < s.k ? 4 : 0, args.vector_b));
    }
    __syncthreads();
#pragma unroll 1
    for (int k = 0; k < few_step; k += 4) {
      float4 near[4][3];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 3; ++j) {
          near[i][j] = *reinterpret_cast<const float4*>(y + ((row + i) * few_halo + column + j) * few_row + k);
        }
      }
#pragma unroll
      for (int kk = 0; kk < 4; ++kk) {
        float taps[w_row];
#pragma unroll
        for (int i = 0; i < w_row; i += 4) {
          const float4 v = *reinterpret_cast<const float4*>(w + (k + kk) * w_row + i);
          taps[i] = v.x, taps[i + 1] = v.y, taps[i + 2] = v.z, taps[i + 3] = v.w;
        }
#pragma unroll
        for (int h = 0; h < 4; ++h) {
#pragma unroll
          for (int b = 0; b < 2; ++b) {
#pragma unroll
            for (int u = 0; u < 2; ++u) {
#pragma unroll
              for (int v = 0; v < 2; ++v) {
                const float4 four = near[h / 2 + 1 + h % 2 - u][1 + b - v];
                const float value = kk == 0 ? four.x : kk == 1 ? four.y : kk == 2 ? four.z : four.w;
                const int tap = (1 - h % 2 + 2 * u) * 4 + 1 - b + 2 * v;
#pragma unroll
                for (int c = 0; c < channels; ++c) {
                  sums[h][b][c] = fmaf(value, taps[tap * channels + c], sums[h][b][c]);
                }
              }
            }
          }
        }
      }
    }
  }

  __syncthreads();
#pragma unroll
  for (int h = 0; h < 4; ++h) {
#pragma unroll
    for (int i = 0; i < 2 * channels; ++i) {
      y[(2 * row + h) * x_row + column * 2 * channels + i] = sums[h][i / channels][i % channels];
    }
  }
  __syncthreads();
  const int width = min(x_row, (s.w - 2 * first_q) * channels), height = min(2 * few_patch, s.h - 2 * first_p);
  for (int i = threadIdx.x; i < height * x_row; i += few_threads) {
    const int in_row = i % x_row;
    if (in_row >= width) continue;
    const std::int64_t to = (std::int64_t(n * s.h + 2 * first_p + i / x_row) * s.w + 2 * first_q) * channels + in_row;
    args.at.out[to] = args.finish.at(y[i], to, in_row % channels);
  }
}

}  // namespace

// Bytes, for more than four channels: y is read 4 · C / tile.n times, w N·P·Q / tile.m times (from L2 but for the
// first), x written and bias and mask read once.
void launch_subpixel_input(const CudaStream& stream, const Subpixel& s, const ConvEpilogue& epilogue,
                           const ConvArgs& at) {
  const ConvFinish finish(epilogue, at);
  const bool few = s.c <= 4;
  const SubpixelArgs args{
      .s = s,
      .at = at,
      .finish = finish,
      .vector_a = vectors(s.k, at.y),
      .vector_b = few ? fours_aligned(at.w) : vectors(s.c, at.w),
      .vector_out = vectors(s.c, at.out) && fours_aligned(finish.bias) && fours_aligned(finish.mask)};
  if (!few) {
    return with_tile(stream, s.positions(), s.c, 4, [&]<class Tile>(Tile) { launch<Tile>(stream, args); });
  }
  const auto kernel = s.c == 1   ? subpixel_few_kernel<1>
                      : s.c == 2 ? subpixel_few_kernel<2>
                      : s.c == 3 ? subpixel_few_kernel<3>
                                 : subpixel_few_kernel<4>;
  kernel<<<s.n * tiles(s.p, few_patch) * tiles(s.q, few_patch), few_threads, 0, queue_of(stream)>>>(args);
  check_launch("subpixel_few_kernel");
}

}  // namespace ganforge
