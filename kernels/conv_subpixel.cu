// Prepares what conv_subpixel.cuh describes.
#include "kernels/conv_subpixel.cuh"

#include "kernels/conv_algorithms.h"
#include "kernels/linear.h"
#include "kernels/mma.cuh"
#include "kernels/weight_product.h"

#include <algorithm>
#include <limits>
#include <memory>

namespace ganforge {
namespace {

const Subpixel& layer_of(const ConvGroupMember& member) {
  return *static_cast<const Subpixel*>(member.group);
}

/// Without convolutions among them: in a kernel that is for small products (linear.h).
void run_products(const CudaStream& stream, std::span<const ConvGroupMember> members) {
  LinearWeightGradArgs products[max_conv_group];
  std::size_t count = 0;
  for (const ConvGroupMember& member : members) {
    const Subpixel& s = layer_of(member);
    const ConvArgs& at = member.args;
    products[count++] = {at.y, at.x, at.out, at.bias_grad, s.n, s.c, s.k};
  }
  linear_weight_grad(stream, {products, count});
}

template <void (*launch)(const CudaStream&, std::span<const SubpixelLayer>)>
void run_group(const CudaStream& stream, std::span<const ConvGroupMember> members) {
  if (std::ranges::all_of(members, [](const ConvGroupMember& m) { return layer_of(m).taps == 1; }))
    return run_products(stream, members);
  SubpixelLayer layers[max_conv_group];
  std::size_t count = 0;
  for (const ConvGroupMember& member : members) layers[count++] = {layer_of(member), member.args};
  launch(stream, {layers, count});
}

bool uses_tensor_cores(const CudaStream& stream) {
  return stream.precision != Precision::fp32 && mma::supported(stream);
}

/// Chooses tiles; fills in what weight gradients need.
void plan_weight(const CudaStream& device, Subpixel s, ConvPlan<CudaStream>& plan) {
  const bool tensor_cores = uses_tensor_cores(device);
  if (tensor_cores) {
    plan_subpixel_mma(device, ConvDirection::weight, s);
  } else {
    plan_subpixel_weight(device, s);
  }
  plan.workspace = tensor_cores ? subpixel_mma_workspace(s, ConvDirection::weight) : subpixel_weight_workspace(s);
  plan.tickets = s.splits > 1 ? s.tiles : 0;
  plan.group = std::make_shared<const Subpixel>(s);
  plan.run_group = tensor_cores ? run_group<launch_subpixel_mma_weight> : run_group<launch_subpixel_weight>;
  plan.run = [group = plan.group, run = plan.run_group](const CudaStream& stream, const ConvArgs& a) {
    const ConvGroupMember member{group.get(), a};
    run(stream, {&member, 1});
  };
}

/// Offsets in bytes fit into int.
constexpr std::int64_t most_elements = std::numeric_limits<int>::max() / 4;

}  // namespace

std::optional<Subpixel> halving(const ConvShape& c) {
  const bool halves = c.r == 4 && c.s == 4 && c.stride_h == 2 && c.stride_w == 2 && c.pad_top == 1 && c.pad_left == 1 &&
                      c.dilation_h == 1 && c.dilation_w == 1 && c.groups == 1 && c.h == 2 * c.p && c.w == 2 * c.q;
  const std::int64_t smallest = std::min({c.n, c.p, c.q, c.c, c.k});
  const std::int64_t largest = std::max({c.x_size(), c.y_size(), c.w_size()});
  if (!halves || smallest < 1 || largest > most_elements) return {};
  const auto size = [](std::int64_t n) { return static_cast<int>(n); };
  return Subpixel{
      .n = size(c.n), .h = size(c.h), .w = size(c.w), .c = size(c.c), .k = size(c.k), .p = size(c.p), .q = size(c.q)};
}

ConvPlan<CudaStream> plan_weight_product(const CudaStream& device, std::int64_t rows, std::int64_t in,
                                         std::int64_t out) {
  if (in % 4 != 0) return {};  // dw leaves in rows of whole 16 bytes
  if (std::min({rows, in, out}) < 1 || std::max({rows * in, rows * out, in * out}) > most_elements) return {};
  const auto size = [](std::int64_t n) { return static_cast<int>(n); };
  ConvPlan<CudaStream> plan;
  plan_weight(device, {.n = size(rows), .h = 1, .w = 1, .c = size(in), .k = size(out), .p = 1, .q = 1, .taps = 1},
              plan);
  return plan;
}

ConvPlan<CudaStream> plan_conv_subpixel(const CudaStream& device, ConvDirection direction, const ConvShape& c,
                                        const ConvEpilogue& epilogue) {
  const std::optional<Subpixel> sizes = halving(c);
  if (!sizes) return {};
  Subpixel s = *sizes;
  ConvPlan<CudaStream> plan;
  plan.algorithm = "sub-pixel";
  if (direction == ConvDirection::weight) {
    plan_weight(device, s, plan);
  } else if (uses_tensor_cores(device)) {
    plan_subpixel_mma(device, direction, s);
    plan.workspace = subpixel_mma_workspace(s, direction);
    plan.tickets = s.splits > 1 ? s.tiles : 0;
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
