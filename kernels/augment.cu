// DiffAugment on CUDA.
#include "kernels/augment.h"
#include "kernels/augment_sample.h"
#include "kernels/block.cuh"
#include "src/core/cuda_check.h"

#include <algorithm>

namespace ganforge {
namespace {

constexpr int threads = 512;

__device__ bool inside(int i, const Span& span) {
  return i >= span.begin && i < span.end;
}

// A block is a sample. Where contrast asks for the mean, a first pass sums the image (an adjoint: what is read of it);
// threads take neighbouring numbers and meet in a tree of fixed order. In the second pass a thread makes a pixel,
// whose channels lie side by side in every tensor. The second read comes from the caches. Floor: one launch, 1R + 1W;
// in sectors asked for 3.6 times that (adjoint 4.1) with three channels, since each is an access of its own.
__global__ void __launch_bounds__(threads) augment_kernel(const AugmentArgs args) {
  const int h = int(args.h), w = int(args.w), channels = int(args.channels), size = h * w * channels;
  const AugmentSample s = augment_sample(args, args.numbers + blockIdx.x * numbers_per_sample, *args.probability);
  const float* x = args.x + std::int64_t(blockIdx.x) * size;
  float* y = args.y + std::int64_t(blockIdx.x) * size;

  float mean = 0;
  if (s.contrast != 1.0f) {
    float sum = 0;
    for (int i = threadIdx.x; i < size; i += threads) {
      bool read = true;
      if (args.adjoint) {
        const int pixel = i / channels, row = pixel / w, column = pixel - row * w;
        read = source_of(row, s.shift_y, false, h) >= 0 && source_of(column, s.shift_x, false, w) >= 0 &&
               !(inside(row, s.cut_y) && inside(column, s.cut_x));
      }
      if (read) sum += x[i];
    }
    mean = block_sum<threads>(sum) / float(size);
  }

  const float a = s.contrast * s.saturation, b = s.contrast * (1 - s.saturation) / float(channels);
  const float k = (1 - s.contrast) * mean + s.brightness, blank = args.adjoint ? k : args.middle;
  for (int pixel = threadIdx.x; pixel < h * w; pixel += threads) {
    const int row = pixel / w, column = pixel - row * w;
    const int from_row = source_of(row, s.shift_y, args.adjoint, h);
    const int from_column = source_of(column, s.shift_x, args.adjoint, w);
    const bool cut = args.adjoint ? inside(from_row, s.cut_y) && inside(from_column, s.cut_x)
                                  : inside(row, s.cut_y) && inside(column, s.cut_x);
    float* out = y + pixel * channels;
    if (from_row < 0 || from_column < 0 || cut) {
      for (int c = 0; c < channels; ++c) out[c] = blank;
      continue;
    }
    const float* in = x + (from_row * w + from_column) * channels;
    float sum = 0;
    if (b != 0.0f) {
      for (int c = 0; c < channels; ++c) sum += in[c];
    }
    const float grey = b * sum + k;
    for (int c = 0; c < channels; ++c) out[c] = a * in[c] + grey;
  }
}

}  // namespace

void augment(const CudaStream& stream, const AugmentArgs& args) {
  if (args.n == 0) return;
  augment_kernel<<<static_cast<unsigned>(args.n), threads, 0, static_cast<cudaStream_t>(stream.stream)>>>(args);
  check_launch("augment");
}

}  // namespace ganforge
