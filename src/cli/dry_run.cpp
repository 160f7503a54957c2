#include "src/cli/dry_run.h"

#include "src/cli/step_floor.h"

#include <fmt/format.h>

namespace ganforge {
namespace {

/// "812", "1.23 k", "4.56 M"
std::string scaled(double value) {
  const char* unit = "";
  for (const char* next : {"k", "M", "G", "T"}) {
    if (value < 1000) break;
    value /= 1000;
    unit = next;
  }
  return *unit ? fmt::format("{:.3g} {}", value, unit) : fmt::format("{:.0f}", value);
}

}  // namespace

std::string describe_step(Device& device, Trainer& trainer, const Dataset& data) {
  const ProgramReport& report = trainer.program().report();
  std::string text = trainer.generator().summary() + "\n" + trainer.discriminator().summary();

  const std::optional<StepFloor> floor = StepFloor::of(device);
  const auto row = [&](const std::string& number, const std::string& flops, const std::string& bytes,
                       const std::string& microseconds, const std::string& what) {
    text += fmt::format("{:>4}  {:>9}  {:>9}{}{}{}\n", number, flops, bytes,
                        floor ? fmt::format("  {:>9}", microseconds) : "", what.empty() ? "" : "  ", what);
  };
  const auto microseconds = [&](double seconds) { return fmt::format("{:.2f}", seconds * 1e6); };
  text += fmt::format("\nA step: {} kernels, {} copies, products in {}\n", report.launches.size(), report.copies.size(),
                      name_of(device.precision()));
  row("", "flops", "bytes", "floor, µs", "scope: operation");
  double flops = 0, bytes = 0, seconds = 0;
  int number = 0;
  for (const ProgramReport::Launch& launch : report.launches) {
    const double least = floor ? floor->seconds(launch) : 0;
    row(std::to_string(++number), scaled(launch.flops), scaled(launch.bytes), microseconds(least),
        fmt::format("{}{}{}{}{}", launch.scope, launch.scope.empty() ? "" : ": ", launch.op,
                    launch.note.empty() ? "" : fmt::format(" [{}]", launch.note),
                    launch.nodes > 1 ? fmt::format(" (×{})", launch.nodes) : ""));
    for (const std::string& types : launch.types) text += fmt::format("{:{}}{}\n", "", floor ? 39 : 28, types);
    flops += launch.flops;
    bytes += launch.bytes;
    seconds += least;
  }
  row("sum", scaled(flops), scaled(bytes), microseconds(seconds), "");
  if (floor) text += "\n" + floor->describe(report);

  text += fmt::format("\nCopies: {}\n", report.copies.empty() ? "none" : "");
  for (const std::string& copy : report.copies) text += fmt::format("  {}\n", copy);

  std::size_t variables = 0, staged = 0;
  for (const Variable& variable : trainer.store().variables())
    (variable.feed ? staged : variables) += variable.type.bytes();
  std::size_t resident = data.streamed() ? 0 : data.images().type.bytes();
  if (data.has_labels()) resident += data.labels().type.bytes();
  text += "\nMemory in bytes\n";
  const auto line = [&](std::size_t size, const std::string& what) {
    text += fmt::format("  {:>12}  {}\n", size, what);
  };
  line(resident, data.streamed() ? "data: labels" : "data");
  if (staged > 0)
    line(staged, fmt::format("staged data: two batches; {} bytes stay on the host", data.host_pixels().size()));
  line(variables, "variables: weights, running statistics, optimiser, counters");
  line(report.arena_bytes, "arena: values of a step");
  line(report.peak_live_bytes, "  of which alive at once, at most: the least that an arena can have");
  line(report.own_bytes, "constants and inputs");
  return text;
}

}  // namespace ganforge
