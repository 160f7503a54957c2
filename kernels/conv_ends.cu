// 4×4 convolutions of stride 2 and padding 1 between an image of at most four channels, x, and many, y: the first layer
// of a discriminator and the last of a generator. Bound by memory, hence in exact float32 for every precision.
#include "kernels/conv_algorithms.h"
#include "kernels/conv_subpixel.cuh"

#include <algorithm>

namespace ganforge {
namespace {

// forward: x is read once (but for the halo), y written once.
//
// A block has the weights of 64 filters in shared memory and goes over patches of 16 × 16 positions of an image, whose
// (34 × 34 · C) pixels it reads once. A thread has 8 positions, every second row of a column, × 8 filters; the 32
// threads of a warp lie 4 × 8. Weights are [taps, filters], in pieces of four filters that are permuted from tap to
// tap, so that writing them, with lanes along the taps, meets few bank conflicts; a tap is 8 loads of pixels and two of
// four weights for 64 FFMA. One block per multiprocessor, since each reads all weights. Bytes: y once, x (34/32)², w
// once per block.
constexpr int forward_patch = 16, forward_side = 2 * forward_patch + 2, forward_filters = 64, forward_threads = 256;

/// Where tap `tap` of the filters from `filter`, a multiple of four, on lies.
__device__ inline int weight_place(int tap, int filter) {
  return tap * forward_filters + (filter ^ (tap / 4 % 8 * 4));
}

template <int channels>
__global__ void __launch_bounds__(forward_threads, 1) ends_forward_kernel(const __grid_constant__ SubpixelArgs args) {
  constexpr int taps = 16 * channels, x_row = forward_side * channels;
  __shared__ __align__(16) float x[forward_side * x_row], w[taps * forward_filters];
  const Subpixel& s = args.s;
  const int patches_q = (s.q + forward_patch - 1) / forward_patch,
            patches_p = (s.p + forward_patch - 1) / forward_patch;
  const int patches = s.n * patches_p * patches_q, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int column = warp % 4 * 4 + lane / 8, row = warp / 4, filter = lane % 8 * 4;

  for (int first_k = 0; first_k < s.k; first_k += forward_filters) {
    __syncthreads();
    for (int i = threadIdx.x; i < forward_filters * taps / 4; i += forward_threads) {
      const int k = i / (taps / 4), tap = i % (taps / 4) * 4;
      const float4 v =
          load_four(args.at.w + std::int64_t(first_k + k) * taps + tap, first_k + k < s.k ? 4 : 0, args.vector_b);
      float* const to = w + weight_place(tap, k & ~3) + k % 4;
      to[0] = v.x, to[forward_filters] = v.y, to[2 * forward_filters] = v.z, to[3 * forward_filters] = v.w;
    }
    const ColumnsFinish near(args, first_k + filter, s.k - first_k - filter);
    const ColumnsFinish far(args, first_k + filter + 32, s.k - first_k - filter - 32);

    for (int patch = blockIdx.x; patch < patches; patch += gridDim.x) {
      const int n = patch / (patches_p * patches_q), in_image = patch % (patches_p * patches_q);
      const int first_p = in_image / patches_q * forward_patch, first_q = in_image % patches_q * forward_patch;
      const int left = (2 * first_q - 1) * channels;
      __syncthreads();
      for (int i = warp; i < forward_side; i += forward_threads / 32) {
        const int h = 2 * first_p - 1 + i;
        const float* const from = args.at.x + std::int64_t(n * s.h + h) * s.w * channels;
        for (int j = lane - (left & 7); j < x_row; j += 32) {  // whole sectors
          if (j < 0) continue;
          const bool inside = h >= 0 && h < s.h && left + j >= 0 && left + j < s.w * channels;
          x[i * x_row + j] = inside ? from[left + j] : 0.0f;
        }
      }
      __syncthreads();

      float sums[8][8] = {};
#pragma unroll 1
      for (int r = 0; r < 4; ++r) {
        const float* const pixels = x + (2 * row + r) * x_row + 2 * column * channels;
#pragma unroll
        for (int t = 0; t < 4 * channels; ++t) {
          const float* const weights = w + weight_place(r * 4 * channels + t, filter);
          const float4 v = *reinterpret_cast<const float4*>(weights),
                       u = *reinterpret_cast<const float4*>(weights + 32);
          const float b[8] = {v.x, v.y, v.z, v.w, u.x, u.y, u.z, u.w};
#pragma unroll
          for (int i = 0; i < 8; ++i) {
            const float a = pixels[4 * i * x_row + t];
#pragma unroll
            for (int j = 0; j < 8; ++j) sums[i][j] = fmaf(a, b[j], sums[i][j]);
          }
        }
      }

#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int p = first_p + row + 2 * i, q = first_q + column;
        if (p >= s.p || q >= s.q) continue;
        const std::int64_t to = (std::int64_t(n * s.p + p) * s.q + q) * s.k + first_k + filter;
        const float(&v)[8] = sums[i];
        near.put({v[0], v[1], v[2], v[3]}, to);
        far.put({v[4], v[5], v[6], v[7]}, to + 32);
      }
    }
  }
}

// input, a generator's last layer: y is read once (but for the halo), all 16 taps of a position are taken at once.
//
// A block has a patch of 16 × `width` positions of an image, 2 × 2 pixels of x each; a thread has two positions, one
// below the other, hence 2 × 4 pixels, and sums over 4 × 3 positions of y. Channels of y come in steps of eight through
// shared memory, a position's eight beside each other and four floats apart from the next's: lanes read neighbouring
// positions without bank conflicts. The weights of a channel are 16·C neighbours in memory, which all threads read at
// once. The result leaves through shared memory as whole rows. Bytes: y once (18/16 with the
// halo above and below, as much beside it where the map is wider than the patch), w once per block, x once.
constexpr int input_height = 16, input_step = 8, input_row = input_step + 4;

template <int channels, int width>
__global__ void __launch_bounds__(8 * width, 1) ends_input_kernel(const __grid_constant__ SubpixelArgs args) {
  constexpr int halo = width + 2, places = (input_height + 2) * halo, threads = 8 * width;
  constexpr int y_floats = places * input_row, w_row = 16 * channels;
  constexpr int x_row = 2 * width * channels, x_floats = 2 * input_height * x_row;
  __shared__ __align__(16) float y[y_floats > x_floats ? y_floats : x_floats], w[input_step * w_row];
  const Subpixel& s = args.s;
  const int patches_q = (s.q + width - 1) / width, patches_p = (s.p + input_height - 1) / input_height;
  const int n = blockIdx.x / (patches_p * patches_q), patch = blockIdx.x % (patches_p * patches_q);
  const int first_p = patch / patches_q * input_height, first_q = patch % patches_q * width;
  const int column = threadIdx.x % width, row = threadIdx.x / width * 2;

  float sums[4][2][channels] = {};  // of rows 2·row … of x, two pixels
  for (int first_k = 0; first_k < s.k; first_k += input_step) {
    __syncthreads();
    // Eight lanes take one piece of eight neighbours: no bank conflicts.
    for (int i = threadIdx.x; i < (places + 7) / 8 * 16; i += threads) {
      const int place = i / 16 * 8 + i % 8, k = i / 8 % 2 * 4;
      if (place >= places) continue;
      const int p = first_p - 1 + place / halo, q = first_q - 1 + place % halo;
      const bool inside = p >= 0 && p < s.p && q >= 0 && q < s.q;
      store_shared(y + place * input_row + k,
                   load_four(args.at.y + (std::int64_t(n * s.p + p) * s.q + q) * s.k + first_k + k,
                             inside ? s.k - first_k - k : 0, args.vector_a));
    }
    for (int i = threadIdx.x; i < input_step * w_row / 4; i += threads) {
      const int k = first_k + i / (w_row / 4);
      store_shared(w + 4 * i,
                   load_four(args.at.w + (std::int64_t(first_k) * w_row + 4 * i), k < s.k ? 4 : 0, args.vector_b));
    }
    __syncthreads();
#pragma unroll 1
    for (int k = 0; k < input_step; k += 4) {
      float4 near[4][3];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
#pragma unroll
        for (int j = 0; j < 3; ++j) {
          near[i][j] = *reinterpret_cast<const float4*>(y + ((row + i) * halo + column + j) * input_row + k);
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

  constexpr bool even = channels % 2 == 0;  // wider stores: without bank conflicts, but for four channels
  __syncthreads();
#pragma unroll
  for (int h = 0; h < 4; ++h) {
    float* const to = y + (2 * row + h) * x_row + column * 2 * channels;
    const auto sum = [&](int i) { return sums[h][i / channels][i % channels]; };
#pragma unroll
    for (int i = 0; i < 2 * channels; i += even ? 4 : 2) {
      if constexpr (even) {
        store_shared(to + i, float4{sum(i), sum(i + 1), sum(i + 2), sum(i + 3)});
      } else {
        store_shared(to + i, float2{sum(i), sum(i + 1)});
      }
    }
  }
  __syncthreads();
  const int row_end = min(x_row, (s.w - 2 * first_q) * channels), height = min(2 * input_height, s.h - 2 * first_p);
  for (int i = threadIdx.x; i < height * x_row; i += threads) {
    const int in_row = i % x_row;
    if (in_row >= row_end) continue;
    const std::int64_t to = (std::int64_t(n * s.h + 2 * first_p + i / x_row) * s.w + 2 * first_q) * channels + in_row;
    args.at.out[to] = args.finish.at(y[i], to, in_row % channels);
  }
}

void launch_forward(const CudaStream& stream, const SubpixelArgs& args) {
  const Subpixel& s = args.s;
  const auto kernel = s.c == 1   ? ends_forward_kernel<1>
                      : s.c == 2 ? ends_forward_kernel<2>
                      : s.c == 3 ? ends_forward_kernel<3>
                                 : ends_forward_kernel<4>;
  const int patches = s.n * static_cast<int>(tiles(s.p, forward_patch) * tiles(s.q, forward_patch));
  kernel<<<std::min(patches, stream.multiprocessors), forward_threads, 0, queue_of(stream)>>>(args);
  check_launch("ends_forward_kernel");
}

template <int width>
void launch_input(const CudaStream& stream, const SubpixelArgs& args) {
  const Subpixel& s = args.s;
  const auto kernel = s.c == 1   ? ends_input_kernel<1, width>
                      : s.c == 2 ? ends_input_kernel<2, width>
                      : s.c == 3 ? ends_input_kernel<3, width>
                                 : ends_input_kernel<4, width>;
  kernel<<<s.n * tiles(s.p, input_height) * tiles(s.q, width), 8 * width, 0, queue_of(stream)>>>(args);
  check_launch("ends_input_kernel");
}

}  // namespace

ConvPlan<CudaStream> plan_conv_ends(const CudaStream&, ConvDirection direction, const ConvShape& c,
                                    const ConvEpilogue& epilogue) {
  const std::optional<Subpixel> sizes = halving(c);
  if (!sizes || c.c > 4 || direction == ConvDirection::weight) return {};
  const bool input = direction == ConvDirection::input;
  ConvPlan<CudaStream> plan;
  plan.algorithm = "few channels";
  plan.run = [=, s = *sizes](const CudaStream& stream, const ConvArgs& at) {
    const ConvFinish finish(epilogue, at);
    const SubpixelArgs args{
        .s = s,
        .at = at,
        .finish = finish,
        .vector_a = vectors(s.k, at.y),
        .vector_b = fours_aligned(at.w),
        .vector_out = finish.in_fours(input ? s.c : s.k, at.out)};
    if (!input) return launch_forward(stream, args);
    if (s.q <= 16) return launch_input<16>(stream, args);
    launch_input<32>(stream, args);
  };
  return plan;
}

}  // namespace ganforge
