// Prepares what conv_norm.cuh describes.
#include "kernels/conv_norm.cuh"

#include "kernels/conv_algorithms.h"
#include "kernels/mma.cuh"

#include <optional>

namespace ganforge {
namespace {

constexpr std::size_t alignment = 64;
std::size_t align(std::size_t bytes) {
  return (bytes + alignment - 1) / alignment * alignment;
}

/// The parts of split sums come first in the workspace.
struct Sizes {
  Subpixel s;
  bool tensor_cores;
  int groups, slices;
  std::size_t parts, partial, slopes;  // bytes
};

std::optional<Sizes> sizes_of(const CudaStream& stream, ConvDirection direction, const ConvShape& c, int groups,
                              const ConvPolicy& policy) {
  const std::optional<Subpixel> sub_pixel = halving(c);
  const bool input = direction == ConvDirection::input;
  const std::int64_t channels = input ? c.c : c.k;
  if (!sub_pixel || direction == ConvDirection::weight || groups < 1 || groups > 2 || c.n % groups != 0 ||
      channels % 4 != 0 || !chooses_subpixel(stream, direction, c, policy))
    return {};
  Sizes sizes{.s = *sub_pixel,
              .tensor_cores = stream.precision != Precision::fp32 && mma::supported(stream),
              .groups = groups,
              .slices = 0,
              .parts = 0,
              .partial = 0,
              .slopes = 0};
  Subpixel& s = sizes.s;
  if (sizes.tensor_cores) {
    plan_subpixel_mma(stream, direction, s);
    if (s.tiles * s.splits > 64 * stream.multiprocessors) s.splits = 1;  // a block counts its units in 64 bits
    sizes.parts = align(subpixel_mma_workspace(s, direction));
  } else {
    plan_conv_norm_fp32(stream, direction, s);
  }
  const int rows = sizes.tensor_cores ? conv_norm_rows_mma(s) : conv_norm_rows_fp32(s);
  sizes.slices = (s.positions() + rows - 1) / rows * (input ? 4 : 1);
  sizes.slopes = sizeof(float) * 2 * static_cast<std::size_t>(groups * channels);
  sizes.partial = align(sizes.slopes * static_cast<std::size_t>(sizes.slices));
  return sizes;
}

template <class Norm>
ConvNormPlan<Norm> plan(const CudaStream& device, ConvDirection direction, const ConvShape& c,
                        const ConvEpilogue& epilogue, int groups, const ConvPolicy& policy) {
  const std::optional<Sizes> sizes = sizes_of(device, direction, c, groups, policy);
  if (!sizes) return {};
  ConvNormPlan<Norm> result;
  result.workspace = sizes->parts + sizes->partial + sizes->slopes;
  result.tickets = sizes->s.splits > 1 ? sizes->s.tiles : 0;
  result.run = [=, z = *sizes](const CudaStream& stream, const ConvArgs& at, const Norm& norm) {
    const bool input = direction == ConvDirection::input;
    char* const memory = static_cast<char*>(at.workspace) + z.parts;
    const ConvNormArgs<Norm> args{.conv = {.s = z.s,
                                           .at = at,
                                           .finish = {epilogue, at},
                                           .vector_a = input ? vectors(z.s.k, at.y) : vectors(z.s.c, at.x),
                                           .vector_b = vectors(z.s.c, at.w),
                                           .vector_out = true},
                                  .norm = norm,
                                  .partial = reinterpret_cast<float*>(memory),
                                  .slopes = reinterpret_cast<float*>(memory + z.partial),
                                  .slices = z.slices};
    if (z.tensor_cores) return launch_conv_norm_mma(stream, direction, args);
    launch_conv_norm_fp32(stream, direction, args);
  };
  return result;
}

}  // namespace

ConvNormPlan<BatchNormArgs> plan_conv_norm(const CudaStream& stream, ConvDirection direction, const ConvShape& shape,
                                           const ConvEpilogue& epilogue, int groups, const ConvPolicy& policy) {
  return plan<BatchNormArgs>(stream, direction, shape, epilogue, groups, policy);
}

ConvNormPlan<BatchNormGradArgs> plan_conv_norm_grad(const CudaStream& stream, ConvDirection direction,
                                                    const ConvShape& shape, int groups, const ConvPolicy& policy) {
  return plan<BatchNormGradArgs>(stream, direction, shape, {}, groups, policy);
}

}  // namespace ganforge
