// Who computes a convolution on CUDA.
#include "kernels/conv2d.h"

#include "kernels/conv_algorithms.h"
#include "kernels/conv_norm.h"

#include <ganforge/error.h>

#include <utility>

namespace ganforge {
namespace {

using Planner = ConvPlan<CudaStream> (*)(const CudaStream&, ConvDirection, const ConvShape&, const ConvEpilogue&);

/// The library last: where it is missing, what was chosen among the others is still found.
constexpr Planner planners[] = {plan_conv_gemm, plan_conv_ends, plan_conv_subpixel, plan_conv_direct, plan_conv_cudnn};

/// The rule of ConvMode::automatic, between a kernel of ganforge's for 4×4 stride 2 and cuDNN. Ours does bias,
/// activation and mask on the way, weight gradients of a network in one launch with those of biases, skips taps beyond
/// the border and wastes no tiles on few channels. What an epilogue of its own costs cuDNN (a launch, the result read
/// and written) stops to matter at some 10⁹ operations: 15 µs of float32 arithmetic on a large card.
bool prefer_subpixel(const ConvShape& c, bool fused) {
  const bool few_channels = c.c <= 4 || c.k <= 4, small_maps = c.p * c.q <= 64;
  const double operations = 32.0 * static_cast<double>(c.y_size()) * static_cast<double>(c.c);
  return few_channels || small_maps || (fused && operations <= 1e9);
}
bool prefer_subpixel(ConvDirection direction, const ConvShape& c, const ConvEpilogue& epilogue) {
  return prefer_subpixel(c, epilogue || direction == ConvDirection::weight);
}

}  // namespace

std::vector<ConvPlan<CudaStream>> conv2d_candidates(const CudaStream& stream, ConvDirection direction,
                                                    const ConvShape& shape, const ConvEpilogue& epilogue) {
  std::vector<ConvPlan<CudaStream>> plans;
  const auto add = [&](Planner planner) {
    try {
      if (ConvPlan<CudaStream> plan = planner(stream, direction, shape, epilogue)) plans.push_back(std::move(plan));
    } catch (const DeviceError&) {  // no cuDNN on this machine
    }
  };
  add(plan_conv_gemm);
  add(plan_conv_ends);
  const bool own_first = prefer_subpixel(direction, shape, epilogue);
  add(own_first ? plan_conv_subpixel : plan_conv_cudnn);
  add(own_first ? plan_conv_cudnn : plan_conv_subpixel);
  if (plans.empty()) add(plan_conv_direct);
  return plans;
}

bool chooses_subpixel(const CudaStream& stream, ConvDirection direction, const ConvShape& shape,
                      const ConvPolicy& policy) {
  const ConvPlan<CudaStream> own = plan_conv_subpixel(stream, direction, shape, {});
  if (!own || shape.c <= 4) return false;  // few channels have a kernel of their own
  if (const auto chosen = policy.chosen.find(describe(direction, shape)); chosen != policy.chosen.end())
    return chosen->second == own.algorithm;
  return policy.mode == ConvMode::own || (policy.mode == ConvMode::automatic && prefer_subpixel(shape, true));
}

ConvPlan<CudaStream> plan_conv2d(const CudaStream& stream, ConvDirection direction, const ConvShape& shape,
                                 const ConvEpilogue& epilogue, const ConvPolicy& policy) {
  const auto plan = [&](Planner planner) { return planner(stream, direction, shape, epilogue); };
  if (const auto chosen = policy.chosen.find(describe(direction, shape)); chosen != policy.chosen.end()) {
    for (const Planner planner : planners) {
      ConvPlan<CudaStream> result = plan(planner);
      if (result && result.algorithm == chosen->second) return result;
    }
  }
  if (policy.mode == ConvMode::direct) return plan(plan_conv_direct);
  if (policy.mode == ConvMode::library) {
    if (ConvPlan<CudaStream> result = plan(plan_conv_cudnn)) return result;
    return plan(plan_conv_direct);
  }
  if (ConvPlan<CudaStream> result = plan(plan_conv_gemm)) return result;
  if (ConvPlan<CudaStream> result = plan(plan_conv_ends)) return result;
  ConvPlan<CudaStream> own = plan(plan_conv_subpixel);
  if (own && (policy.mode == ConvMode::own || prefer_subpixel(direction, shape, epilogue))) return own;
  try {
    if (ConvPlan<CudaStream> result = plan(plan_conv_cudnn)) return result;
  } catch (const DeviceError&) {  // no cuDNN on this machine: better slower than not at all, if there is a kernel
    if (!own) throw;
  }
  return own ? std::move(own) : plan(plan_conv_direct);
}

}  // namespace ganforge
