// Max pooling on CUDA.
#include "kernels/elementwise.cuh"
#include "kernels/max_pool.h"
#include "kernels/pack.cuh"
#include "kernels/resample_taps.h"

namespace ganforge {
namespace {

using namespace pack;

// Every element of the result gathers what it needs: no atomics. Neighbouring threads take neighbouring channels, four
// each where they are aligned, then neighbouring pixels. Floors, one launch each: forward 1R + 1W of x and y, gradient
// 3R + 1W, its adjoint 3R + 1W; the places of a window, compared again to count its maxima, come from the caches.

/// A pixel of an image of `height` × `width`, and the channels of a thread there.
template <class Index>
struct Place {
  Index n, c;
  std::int32_t row, column;

  __device__ Place(Index i, Index of_pixel, Index width_of_pack, Index height, Index width) {
    const Index pixel = i / of_pixel, line = pixel / width;
    c = (i - pixel * of_pixel) * width_of_pack;
    n = line / height;
    row = static_cast<std::int32_t>(line - n * height);
    column = static_cast<std::int32_t>(pixel - line * width);
  }
};

/// A thread's channels of an image, as the windows see it.
template <int width, class Index>
struct Image {
  const MaxPoolSizes& s;
  Index start;  // offset of the image's first pixel, at the thread's channels

  __device__ Image(const MaxPoolSizes& sizes, const Place<Index>& at)
      : s(sizes), start(at.n * sizes.height * sizes.width * Index(sizes.channels) + at.c) {}
  __device__ Index pixel(std::int32_t h, std::int32_t w) const {
    return start + (Index(h) * s.width + w) * Index(s.channels);
  }
  /// body(offset) for the places of window (p, q).
  template <class Body>
  __device__ void window(std::int32_t p, std::int32_t q, const Body& body) const {
    for (std::int32_t i = 0; i < s.window_h; ++i)
      for (std::int32_t j = 0; j < s.window_w; ++j) body(pixel(p * s.stride_h + i, q * s.stride_w + j));
  }
};

template <int width, class Index>
__global__ void max_pool_kernel(const __grid_constant__ MaxPoolArgs args, Index packs) {
  const MaxPoolSizes& s = args.sizes;
  const Index threads = gridDim.x * Index(blockDim.x);
  for (Index t = blockIdx.x * Index(blockDim.x) + threadIdx.x; t < packs; t += threads) {
    const Place<Index> at(t, s.channels / width, width, s.out_height, s.out_width);
    const Image<width, Index> image(s, at);
    Pack<width> most;
#pragma unroll
    for (int k = 0; k < width; ++k) most.v[k] = -INFINITY;
    image.window(at.row, at.column, [&](Index place) {
      const Pack<width> x = load<width>(args.x + place);
#pragma unroll
      for (int k = 0; k < width; ++k) most.v[k] = x.v[k] > most.v[k] || x.v[k] != x.v[k] ? x.v[k] : most.v[k];
    });
    store<width>(args.y + t * width, most);
  }
}

template <int width, class Index>
__global__ void max_pool_grad_kernel(const __grid_constant__ MaxPoolGradArgs args, Index packs) {
  const MaxPoolSizes& s = args.sizes;
  const ResampleAxis rows{s.out_height, s.height, s.window_h, s.stride_h};
  const ResampleAxis columns{s.out_width, s.width, s.window_w, s.stride_w};
  const Index threads = gridDim.x * Index(blockDim.x);
  for (Index t = blockIdx.x * Index(blockDim.x) + threadIdx.x; t < packs; t += threads) {
    const Place<Index> at(t, s.channels / width, width, s.height, s.width);
    const Image<width, Index> image(s, at);
    const Taps above = BoxAdjointRule::taps(rows, at.row), left = BoxAdjointRule::taps(columns, at.column);
    const Pack<width> value = load<width>(args.x + t * width);
    Pack<width> d{};
    for (std::int32_t p = above.begin; p < above.end; ++p)
      for (std::int32_t q = left.begin; q < left.end; ++q) {
        const Index of_y = ((at.n * s.out_height + p) * s.out_width + q) * Index(s.channels) + at.c;
        const Pack<width> most = load<width>(args.y + of_y);
        bool any = false;
#pragma unroll
        for (int k = 0; k < width; ++k) any = any || value.v[k] == most.v[k];
        if (!any) continue;
        const Pack<width> dy = load<width>(args.dy + of_y);
        Pack<width> count{};
        image.window(p, q, [&](Index place) {
          const Pack<width> x = load<width>(args.x + place);
#pragma unroll
          for (int k = 0; k < width; ++k) count.v[k] += x.v[k] == most.v[k] ? 1.0f : 0.0f;
        });
#pragma unroll
        for (int k = 0; k < width; ++k) d.v[k] += value.v[k] == most.v[k] ? dy.v[k] / count.v[k] : 0.0f;
      }
    store<width>(args.dx + t * width, d);
  }
}

template <int width, class Index>
__global__ void max_pool_pick_kernel(const __grid_constant__ MaxPoolPickArgs args, Index packs) {
  const MaxPoolSizes& s = args.sizes;
  const Index threads = gridDim.x * Index(blockDim.x);
  for (Index t = blockIdx.x * Index(blockDim.x) + threadIdx.x; t < packs; t += threads) {
    const Place<Index> at(t, s.channels / width, width, s.out_height, s.out_width);
    const Image<width, Index> image(s, at);
    const Pack<width> most = load<width>(args.y + t * width);
    Pack<width> sum{}, count{};
    image.window(at.row, at.column, [&](Index place) {
      const Pack<width> x = load<width>(args.x + place), v = load<width>(args.v + place);
#pragma unroll
      for (int k = 0; k < width; ++k) {
        sum.v[k] += x.v[k] == most.v[k] ? v.v[k] : 0.0f;
        count.v[k] += x.v[k] == most.v[k] ? 1.0f : 0.0f;
      }
    });
#pragma unroll
    for (int k = 0; k < width; ++k) sum.v[k] /= count.v[k];
    store<width>(args.z + t * width, sum);
  }
}

/// launch(width, index, packs, blocks) for a result of `pixels` pixels.
template <class Launch>
void for_packs(const CudaStream& stream, const MaxPoolSizes& s, std::int64_t pixels,
               std::initializer_list<const void*> memory, const char* name, const Launch& launch) {
  if (pixels * s.channels == 0) return;
  const std::int64_t elements = s.images * s.height * s.width * s.channels;  // no fewer than of the result
  with_width_and_index(width_for(s.channels, memory), elements, [&]<class W, class Index>(W w, Index) {
    const std::int64_t packs = pixels * s.channels / W::value;
    launch(w, static_cast<Index>(packs), elementwise_blocks(stream, packs));
    check_launch(name);
  });
}

}  // namespace

void max_pool(const CudaStream& stream, const MaxPoolArgs& args) {
  const std::int64_t pixels = args.sizes.images * args.sizes.out_height * args.sizes.out_width;
  for_packs(stream, args.sizes, pixels, {args.x, args.y}, "max_pool",
            [&]<class W, class Index>(W, Index packs, unsigned blocks) {
              max_pool_kernel<W::value, Index><<<blocks, elementwise_threads, 0, queue_of(stream)>>>(args, packs);
            });
}

void max_pool_grad(const CudaStream& stream, const MaxPoolGradArgs& args) {
  const std::int64_t pixels = args.sizes.images * args.sizes.height * args.sizes.width;
  for_packs(stream, args.sizes, pixels, {args.dy, args.x, args.y, args.dx}, "max_pool_grad",
            [&]<class W, class Index>(W, Index packs, unsigned blocks) {
              max_pool_grad_kernel<W::value, Index><<<blocks, elementwise_threads, 0, queue_of(stream)>>>(args, packs);
            });
}

void max_pool_pick(const CudaStream& stream, const MaxPoolPickArgs& args) {
  const std::int64_t pixels = args.sizes.images * args.sizes.out_height * args.sizes.out_width;
  for_packs(stream, args.sizes, pixels, {args.v, args.x, args.y, args.z}, "max_pool_pick",
            [&]<class W, class Index>(W, Index packs, unsigned blocks) {
              max_pool_pick_kernel<W::value, Index><<<blocks, elementwise_threads, 0, queue_of(stream)>>>(args, packs);
            });
}

}  // namespace ganforge
