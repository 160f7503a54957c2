// Prepares what conv_subpixel.cuh describes.
#include "kernels/conv_subpixel.cuh"

#include "kernels/conv_algorithms.h"
#include "kernels/mma.cuh"

#include <algorithm>
#include <limits>

namespace ganforge {

ConvPlan<CudaStream> plan_conv_subpixel(const CudaStream& device, ConvDirection direction, const ConvShape& c,
                                        const ConvEpilogue& epilogue) {
  const bool halves = c.r == 4 && c.s == 4 && c.stride_h == 2 && c.stride_w == 2 && c.pad_top == 1 && c.pad_left == 1 &&
                      c.dilation_h == 1 && c.dilation_w == 1 && c.groups == 1 && c.h == 2 * c.p && c.w == 2 * c.q;
  const std::int64_t smallest = std::min({c.n, c.p, c.q, c.c, c.k});
  const std::int64_t largest = std::max({c.x_size(), c.y_size(), c.w_size()});
  if (!halves || smallest < 1 || largest > std::numeric_limits<int>::max() / 4) return {};
  const auto size = [](std::int64_t n) { return static_cast<int>(n); };
  Subpixel s{
      .n = size(c.n), .h = size(c.h), .w = size(c.w), .c = size(c.c), .k = size(c.k), .p = size(c.p), .q = size(c.q)};
  ConvPlan<CudaStream> plan;
  plan.algorithm = "sub-pixel";
  const bool weight = direction == ConvDirection::weight, few = std::min(c.c, c.k) <= 4;
  if (device.precision != Precision::fp32 && mma::supported(device) && !few) {
    if (weight) {
      plan_subpixel_mma_weight(device, s);
    } else {
      plan_subpixel_mma(device, direction, s);
    }
    plan.workspace = subpixel_mma_workspace(s, weight);
    plan.tickets = s.splits > 1 ? s.tiles : 0;
    plan.run = [=](const CudaStream& stream, const ConvArgs& a) {
      if (!weight) return launch_subpixel_mma(stream, direction, s, epilogue, a);
      const SubpixelLayer layer{s, a};
      launch_subpixel_mma_weight(stream, {&layer, 1});
    };
  } else if (direction == ConvDirection::forward) {
    plan.run = [=](const CudaStream& stream, const ConvArgs& a) { launch_subpixel_forward(stream, s, epilogue, a); };
  } else if (direction == ConvDirection::input) {
    plan.run = [=](const CudaStream& stream, const ConvArgs& a) { launch_subpixel_input(stream, s, epilogue, a); };
  } else {
    split_subpixel_weight(device, s);
    if (s.splits > 1) plan.workspace = sizeof(float) * s.splits * c.w_size();
    plan.run = [=](const CudaStream& stream, const ConvArgs& a) { launch_subpixel_weight(stream, s, a); };
  }
  return plan;
}

}  // namespace ganforge
