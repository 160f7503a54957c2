// Resampling on CUDA.
#include "kernels/elementwise.cuh"
#include "kernels/pack.cuh"
#include "kernels/resample.h"
#include "kernels/resample_taps.h"

namespace ganforge {
namespace {

using namespace pack;

// Every element gathers its inputs: no atomics. Neighbouring threads take neighbouring channels, four each where they
// are aligned, then neighbouring pixels. Floor: one launch, 1R + 1W; what windows share is read again from the caches.
template <class Rule, int width, class Index>
__global__ void resample_kernel(const __grid_constant__ ResampleArgs args, Index packs) {
  const Index channels = args.channels, of_pixel = channels / width;
  const Index columns = args.horizontal.to, rows = args.vertical.to;
  const Index threads = gridDim.x * Index(blockDim.x);
  for (Index i = blockIdx.x * Index(blockDim.x) + threadIdx.x; i < packs; i += threads) {
    const Index pixel = i / of_pixel, c = (i - pixel * of_pixel) * width, row = pixel / columns;
    const Index n = row / rows;
    const auto q = static_cast<std::int32_t>(pixel - row * columns), p = static_cast<std::int32_t>(row - n * rows);
    const Taps vertical = Rule::taps(args.vertical, p), horizontal = Rule::taps(args.horizontal, q);
    const float* image = args.x + n * args.vertical.from * args.horizontal.from * channels + c;
    Pack<width> sum{};
    for (std::int32_t y = vertical.begin; y < vertical.end; ++y) {
      const float weight = Rule::weight(args.vertical, p, y);
      const float* x = image + (Index(y) * args.horizontal.from + horizontal.begin) * channels;
      for (std::int32_t j = horizontal.begin; j < horizontal.end; ++j, x += channels) {
        const float w = weight * Rule::weight(args.horizontal, q, j);
        const Pack<width> value = load<width>(x);
#pragma unroll
        for (int k = 0; k < width; ++k) sum.v[k] += w * value.v[k];
      }
    }
#pragma unroll
    for (int k = 0; k < width; ++k) sum.v[k] *= args.scale;
    store<width>(args.y + i * width, sum);
  }
}

// Nearest upsampling: the windows of x's elements lie side by side in y. An element is read once and written to all of
// its window. Floor: as above, and no element is read again.
template <int width, class Index>
__global__ void spread_kernel(const __grid_constant__ ResampleArgs args, Index packs) {
  const Index channels = args.channels, of_pixel = channels / width;
  const Index columns = args.horizontal.from, to_columns = args.horizontal.to;
  const Index threads = gridDim.x * Index(blockDim.x);
  for (Index i = blockIdx.x * Index(blockDim.x) + threadIdx.x; i < packs; i += threads) {
    const Index pixel = i / of_pixel, c = (i - pixel * of_pixel) * width, row = pixel / columns;
    Pack<width> value = load<width>(args.x + i * width);
#pragma unroll
    for (int k = 0; k < width; ++k) value.v[k] *= args.scale;
    // Rows of all images in one go: y has stride · from of them in each.
    float* y = args.y +
               (row * args.vertical.stride * to_columns + (pixel - row * columns) * args.horizontal.stride) * channels +
               c;
    for (std::int32_t p = 0; p < args.vertical.window; ++p, y += to_columns * channels)
      for (std::int32_t q = 0; q < args.horizontal.window; ++q) store<width>(y + q * channels, value);
  }
}

/// Whole sectors of 32 bytes must be written at once, or it would move more than the kernel that gathers.
bool spreads(const ResampleArgs& args) {
  const auto side_by_side = [](const ResampleAxis& axis) {
    return axis.window == axis.stride && axis.to == axis.from * axis.stride;
  };
  return args.kind == Resampling::box_adjoint && side_by_side(args.vertical) && side_by_side(args.horizontal) &&
         args.channels % 8 == 0;
}

}  // namespace

void resample(const CudaStream& stream, const ResampleArgs& args) {
  const std::int64_t pixels = args.images * args.vertical.to * args.horizontal.to;
  if (pixels * args.channels == 0) return;
  const std::int64_t from = args.images * args.vertical.from * args.horizontal.from * args.channels;
  const int width = width_for(args.channels, {args.x, args.y});
  if (spreads(args)) {
    with_width_and_index(width, pixels * args.channels, [&]<class W, class Index>(W, Index) {
      const std::int64_t packs = from / W::value;
      spread_kernel<W::value><<<elementwise_blocks(stream, packs), elementwise_threads, 0, queue_of(stream)>>>(
          args, static_cast<Index>(packs));
      check_launch("resample");
    });
    return;
  }
  with_rule(args.kind, [&]<class Rule>(Rule) {
    with_width_and_index(width, std::max(from, pixels * args.channels), [&]<class W, class Index>(W, Index) {
      const std::int64_t packs = pixels * args.channels / W::value;
      resample_kernel<Rule, W::value><<<elementwise_blocks(stream, packs), elementwise_threads, 0, queue_of(stream)>>>(
          args, static_cast<Index>(packs));
      check_launch("resample");
    });
  });
}

}  // namespace ganforge
