// Prepares what conv_subpixel.cuh describes.
#include "kernels/conv_subpixel.cuh"

#include "kernels/conv_algorithms.h"
#include "kernels/mma.cuh"

#include <algorithm>
#include <limits>
#include <memory>

namespace ganforge {
namespace {

template <void (*launch)(const CudaStream&, std::span<const SubpixelLayer>)>
void run_group(const CudaStream& stream, std::span<const ConvGroupMember> members) {
  SubpixelLayer layers[max_conv_group];
  std::size_t count = 0;
  for (const ConvGroupMember& member : members) {
    layers[count++] = {*static_cast<const Subpixel*>(member.group), member.args};
  }
  launch(stream, {layers, count});
}

}  // namespace

std::optional<Subpixel> halving(const ConvShape& c) {
  const bool halves = c.r == 4 && c.s == 4 && c.stride_h == 2 && c.stride_w == 2 && c.pad_top == 1 && c.pad_left == 1 &&
                      c.dilation_h == 1 && c.dilation_w == 1 && c.groups == 1 && c.h == 2 * c.p && c.w == 2 * c.q;
  const std::int64_t smallest = std::min({c.n, c.p, c.q, c.c, c.k});
  const std::int64_t largest = std::max({c.x_size(), c.y_size(), c.w_size()});
  if (!halves || smallest < 1 || largest > std::numeric_limits<int>::max() / 4) return {};
  const auto size = [](std::int64_t n) { return static_cast<int>(n); };
  return Subpixel{
      .n = size(c.n), .h = size(c.h), .w = size(c.w), .c = size(c.c), .k = size(c.k), .p = size(c.p), .q = size(c.q)};
}

ConvPlan<CudaStream> plan_conv_subpixel(const CudaStream& device, ConvDirection direction, const ConvShape& c,
                                        const ConvEpilogue& epilogue) {
  const std::optional<Subpixel> sizes = halving(c);
  if (!sizes) return {};
  Subpixel s = *sizes;
  ConvPlan<CudaStream> plan;
  plan.algorithm = "sub-pixel";
  const bool weight = direction == ConvDirection::weight;
  const bool tensor_cores = device.precision != Precision::fp32 && mma::supported(device);
  if (tensor_cores) {
    plan_subpixel_mma(device, direction, s);
    plan.workspace = subpixel_mma_workspace(s, direction);
  } else if (weight) {
    plan_subpixel_weight(device, s);
    plan.workspace = subpixel_weight_workspace(s);
  }
  plan.tickets = s.splits > 1 ? s.tiles : 0;
  if (weight) {
    plan.group = std::make_shared<const Subpixel>(s);
    plan.run_group = tensor_cores ? run_group<launch_subpixel_mma_weight> : run_group<launch_subpixel_weight>;
    plan.run = [group = plan.group, run = plan.run_group](const CudaStream& stream, const ConvArgs& a) {
      const ConvGroupMember member{group.get(), a};
      run(stream, {&member, 1});
    };
  } else if (tensor_cores) {
    plan.run = [=](const CudaStream& stream, const ConvArgs& a) {
      launch_subpixel_mma(stream, direction, s, epilogue, a);
    };
  } else if (direction == ConvDirection::forward) {
    plan.run = [=](const CudaStream& stream, const ConvArgs& a) { launch_subpixel_forward(stream, s, epilogue, a); };
  } else {
    plan.run = [=](const CudaStream& stream, const ConvArgs& a) { launch_subpixel_input(stream, s, epilogue, a); };
  }
  return plan;
}

}  // namespace ganforge
