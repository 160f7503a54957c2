#include "src/cli/dry_run.h"

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

std::string describe_step(const Device& device, Trainer& trainer, const Dataset& data) {
  const ProgramReport& report = trainer.program().report();
  std::string text = trainer.generator().summary() + "\n" + trainer.discriminator().summary();

  text +=
      fmt::format("\nA step: {} kernels, {} copies, products in {}\n{:>4}  {:>9}  {:>9}  {}\n", report.launches.size(),
                  report.copies.size(), name_of(device.precision()), "", "flops", "bytes", "scope: operation");
  double flops = 0, bytes = 0;
  int number = 0;
  for (const ProgramReport::Launch& launch : report.launches) {
    text += fmt::format("{:>4}  {:>9}  {:>9}  {}{}{}{}{}\n", ++number, scaled(launch.flops), scaled(launch.bytes),
                        launch.scope, launch.scope.empty() ? "" : ": ", launch.op,
                        launch.note.empty() ? "" : fmt::format(" [{}]", launch.note),
                        launch.nodes > 1 ? fmt::format(" (×{})", launch.nodes) : "");
    for (const std::string& types : launch.types) text += fmt::format("{:28}{}\n", "", types);
    flops += launch.flops;
    bytes += launch.bytes;
  }
  text += fmt::format("{:>4}  {:>9}  {:>9}\n", "sum", scaled(flops), scaled(bytes));

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
