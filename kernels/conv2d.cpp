// Who computes a convolution on the CPU.
//
// The rule of ConvMode::automatic: a filter as large as the image, or of one pixel, is one matrix product (gemm). Few
// channels of x are gathered: 2 × as fast as oneDNN where that makes an image (input); else about as fast, but without
// the allocations that oneDNN makes in every run. Groups of 16 channels have a kernel of their own. One
// filter as large as the image for each channel is so little work that plain loops do it, which allocate nothing
// either. 4×4 filters of stride 2 are Winograd's, where enough positions share the transformed filters. Everything else
// is oneDNN's.
#include "kernels/conv2d.h"

#include "kernels/conv_algorithms.h"

#include <initializer_list>
#include <utility>

namespace ganforge {
namespace {

using Planner = ConvPlan<CpuStream> (*)(const CpuStream&, ConvDirection, const ConvShape&, const ConvEpilogue&);

constexpr Planner own[] = {plan_conv_gemm, plan_conv_gather, plan_conv_grouped, plan_conv_winograd};

/// Winograd transforms the filters to 6 times their size, to 16 times for results 7 wide, before forward and input: so
/// many positions N·P·Q must share that. Cheap: transforms that stay in a cache, and those of so many channels that
/// they are made where they are used. The bounds are measured against oneDNN.
std::int64_t winograd_positions(const ConvShape& c) {
  const bool fours = c.p % 4 == 0 && c.q % 4 == 0;
  const bool cheap = (fours && c.c * c.k <= 64 * 128) || c.c * c.k >= 256 * 512;
  return cheap ? 64 : fours ? 1024 : 2048;
}

/// Whether the rule prefers one of ganforge's own algorithms, if it can do the convolution, to oneDNN.
bool preferred(Planner planner, ConvDirection direction, const ConvShape& c) {
  const bool input = direction == ConvDirection::input, weight = direction == ConvDirection::weight;
  if (planner == Planner(plan_conv_gather)) return input || c.r * c.s * c.c >= 16;
  if (planner == Planner(plan_conv_winograd)) return weight || c.n * c.p * c.q >= winograd_positions(c);
  return true;
}

/// The algorithms of a mode in order: the first that can do the convolution does it.
std::vector<Planner> order(ConvMode mode, ConvDirection direction, const ConvShape& shape) {
  if (mode == ConvMode::direct) return {plan_conv_direct};
  if (mode == ConvMode::library) return {plan_conv_onednn, plan_conv_direct};
  const bool depthwise = shape.groups > 1 && shape.groups == shape.c && shape.groups == shape.k;
  if (depthwise && shape.p == 1 && shape.q == 1) return {plan_conv_direct, plan_conv_onednn};
  std::vector<Planner> first, last = {plan_conv_onednn};
  for (const Planner planner : own) {
    (mode == ConvMode::own || preferred(planner, direction, shape) ? first : last).push_back(planner);
  }
  first.insert(first.end(), last.begin(), last.end());
  first.push_back(plan_conv_direct);
  return first;
}

}  // namespace

std::string describe(ConvDirection direction, const ConvShape& c) {
  static constexpr const char* names[] = {"forward", "input", "weight"};
  std::string text = names[static_cast<int>(direction)];
  const auto add = [&text](const char* name, std::initializer_list<std::int64_t> sizes, const char* between) {
    text += name;
    for (const std::int64_t& size : sizes) {
      if (&size != sizes.begin()) text += between;
      text += std::to_string(size);
    }
  };
  add(" x ", {c.n, c.h, c.w, c.c}, "×");
  add(" w ", {c.k, c.r, c.s, c.c / c.groups}, "×");
  add(" y ", {c.n, c.p, c.q, c.k}, "×");
  add(" stride ", {c.stride_h, c.stride_w}, " ");
  add(" pad ", {c.pad_top, c.pad_left}, " ");
  add(" dilation ", {c.dilation_h, c.dilation_w}, " ");
  add(" groups ", {c.groups}, " ");
  return text;
}

std::vector<ConvPlan<CpuStream>> conv2d_candidates(const CpuStream& stream, ConvDirection direction,
                                                   const ConvShape& shape, const ConvEpilogue& epilogue) {
  std::vector<ConvPlan<CpuStream>> plans;
  for (const Planner planner : order(ConvMode::automatic, direction, shape)) {
    if (planner == Planner(plan_conv_direct) && !plans.empty()) break;  // never the fastest
    if (ConvPlan<CpuStream> plan = planner(stream, direction, shape, epilogue)) plans.push_back(std::move(plan));
  }
  return plans;
}

ConvPlan<CpuStream> plan_conv2d(const CpuStream& stream, ConvDirection direction, const ConvShape& shape,
                                const ConvEpilogue& epilogue, const ConvPolicy& policy) {
  if (const auto chosen = policy.chosen.find(describe(direction, shape)); chosen != policy.chosen.end()) {
    for (const Planner planner : order(ConvMode::automatic, direction, shape)) {
      ConvPlan<CpuStream> plan = planner(stream, direction, shape, epilogue);
      if (plan && plan.algorithm == chosen->second) return plan;
    }
  }
  for (const Planner planner : order(policy.mode, direction, shape)) {
    if (ConvPlan<CpuStream> plan = planner(stream, direction, shape, epilogue)) return plan;
  }
  return {};
}

}  // namespace ganforge
