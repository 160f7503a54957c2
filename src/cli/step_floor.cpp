#include "src/cli/step_floor.h"

#if GANFORGE_CUDA
#include "kernels/empty.h"
#include "src/core/device_rates.h"
#endif

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

namespace ganforge {

#if GANFORGE_CUDA
namespace {

/// Seconds of an empty kernel behind another in a graph: the best of some launches of many.
double measure_launch(Device& device) {
  constexpr int kernels = 1000, tries = 5;
  const CudaStream stream = std::get<CudaStream>(device.stream());
  const auto graph = device.capture([&] {
    for (int i = 0; i < kernels; ++i) empty(stream);
  });
  double best = 1;
  for (int i = 0; i < tries; ++i) {
    const auto start = std::chrono::steady_clock::now();
    graph->launch();
    device.synchronize();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / kernels);
  }
  return best;
}

}  // namespace

std::optional<StepFloor> StepFloor::of(Device& device) {
  if (!device.is_cuda()) return std::nullopt;
  const CudaStream& stream = std::get<CudaStream>(device.stream());
  const DeviceRates rates = device_rates(stream);
  StepFloor floor;
  floor.card_ =
      fmt::format("{}, {} multiprocessors at {:.2f} GHz", device.name(), stream.multiprocessors, rates.clock * 1e-9);
  floor.precision_ = name_of(device.precision());
  floor.flops_ = rates.flops;
  floor.bytes_ = rates.bytes;
  floor.launch_ = measure_launch(device);
  return floor;
}
#else
std::optional<StepFloor> StepFloor::of(Device&) {
  return std::nullopt;
}
#endif

double StepFloor::seconds(const ProgramReport::Launch& launch) const {
  return std::max(flops_ > 0 ? launch.flops / flops_ : 0, bytes_ > 0 ? launch.bytes / bytes_ : 0);
}

std::string StepFloor::describe(const ProgramReport& report) const {
  double kernels = 0;
  for (const ProgramReport::Launch& launch : report.launches) kernels += seconds(launch);
  const auto count = static_cast<double>(report.launches.size());
  const auto rate = [](double value, const char* unit) {
    return value > 0 ? fmt::format("{:.3g} T{}/s", value * 1e-12, unit) : std::string("of unknown speed");
  };
  return fmt::format(
      "Floor on {}\n"
      "  {:>8.1f} µs  each kernel by bytes or operations, the longer: memory {}, products in {} {}\n"
      "  {:>8.1f} µs  {} launches of {:.2f} µs, measured with an empty kernel in a graph\n"
      "  {:>8.1f} µs  in all; what stays in the L2 cache can be faster than memory\n",
      card_, kernels * 1e6, rate(bytes_, "B"), precision_, rate(flops_, "FLOP"), launch_ * count * 1e6,
      report.launches.size(), launch_ * 1e6, (kernels + launch_ * count) * 1e6);
}

}  // namespace ganforge
