#include "src/ops/conv_tune.h"

#include <algorithm>
#include <chrono>
#include <limits>

namespace ganforge {
namespace {

constexpr int runs = 5;

std::size_t bytes(std::int64_t elements) {
  return static_cast<std::size_t>(elements) * sizeof(float);
}

/// Seconds of the fastest of some runs.
template <class S>
double seconds(Device& device, const S& stream, const ConvPlan<S>& plan, ConvArgs args) {
  using Clock = std::chrono::steady_clock;
  const Buffer workspace = device.allocate(plan.workspace), tickets = device.allocate(plan.tickets * sizeof(unsigned));
  device.clear(tickets.data(), plan.tickets * sizeof(unsigned));
  args.workspace = workspace.data();
  args.tickets = static_cast<unsigned*>(tickets.data());
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i <= runs; ++i) {
    device.synchronize();
    const Clock::time_point begin = Clock::now();
    plan.run(stream, args);
    device.synchronize();
    if (i > 0) best = std::min(best, std::chrono::duration<double>(Clock::now() - begin).count());
  }
  return best;
}

}  // namespace

void tune_conv2d(Device& device, ConvDirection direction, const ConvShape& shape, const ConvEpilogue& epilogue) {
  ConvPolicy& policy = device.conv_policy();
  const std::string name = describe(direction, shape);
  if (!policy.tune || policy.chosen.contains(name)) return;
  // Zeros: no algorithm is faster for them.
  const Buffer x = device.allocate(bytes(shape.x_size())), w = device.allocate(bytes(shape.w_size())),
               y = device.allocate(bytes(shape.y_size()));
  const bool forward = direction == ConvDirection::forward, input = direction == ConvDirection::input;
  const Buffer bias = device.allocate(bytes(epilogue.bias ? (input ? shape.c : shape.k) : 0));
  const Buffer mask = device.allocate(bytes(!epilogue.mask ? 0 : input ? shape.x_size() : shape.y_size()));
  const auto pointer = [](const Buffer& buffer) { return static_cast<float*>(buffer.data()); };
  ConvArgs args{};
  args.x = input ? nullptr : pointer(x);
  args.w = forward || input ? pointer(w) : nullptr;
  args.y = forward ? nullptr : pointer(y);
  args.out = pointer(forward ? y : input ? x : w);
  args.bias = epilogue.bias ? pointer(bias) : nullptr;
  args.mask = epilogue.mask ? pointer(mask) : nullptr;
  std::visit(
      [&](const auto& stream) {
        double best = std::numeric_limits<double>::infinity();
        for (const auto& plan : conv2d_candidates(stream, direction, shape, epilogue)) {
          const double time = seconds(device, stream, plan, args);
          if (time >= best) continue;
          best = time;
          policy.chosen[name] = plan.algorithm;
        }
      },
      device.stream());
}

}  // namespace ganforge
