// ganforge selftest: whether this machine computes what it should.
#include "src/cli/commands.h"
#include "src/cli/open_device.h"
#include "src/cli/selftest_training.h"
#include "tests/op_checks.h"

#include <ganforge/gan.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace ganforge {
namespace {

struct SelftestArguments {
  DeviceArguments device;
  std::string conv = "auto", precision = "fp32";
  std::optional<std::string> filter;
};

/// The GPU; or the CPU with every instruction set that it has, and with one thread.
std::vector<Device> devices_under_test(const SelftestArguments& a, std::vector<std::string>& notices) {
  std::vector<Device> list;
  list.push_back(open_device(a.device, notices));
  if (!list[0].is_cuda()) {
    const auto first = std::get<CpuStream>(list[0].stream());
    for (const Isa isa : {Isa::avx2, Isa::baseline})
      if (isa < first.isa) {
        list.push_back(Device::cpu(first.threads));
        std::get<CpuStream>(list.back().stream()).isa = isa;
      }
    if (first.threads > 1) list.push_back(Device::cpu(1));
  }
  for (Device& device : list) {
    device.conv_policy().mode = conv_mode_named(a.conv);
    device.set_precision(precision_named(a.precision));
  }
  return list;
}

/// "gradient of max_pool2d, which …" → "max_pool2d"
std::string op_of(std::string name) {
  constexpr std::string_view prefix = "gradient of ";
  if (name.starts_with(prefix)) name.erase(0, prefix.size());
  return name.substr(0, name.find_first_of(" ,"));
}

/// False after an error that the GPU keeps, of a kernel say; a missing library is another thing.
bool usable(Device& device) {
  try {
    device.allocate(1);
    device.synchronize();
    return true;
  } catch (const DeviceError&) {
    return false;
  }
}

class Selftest {
 public:
  explicit Selftest(const SelftestArguments& arguments) {
    const std::string filter = arguments.filter.value_or("");
    const auto wanted = [&](const std::string& name) { return name.find(filter) != std::string::npos; };
    for (const op_test::OpCase& row : op_test::op_cases())
      if (wanted(row.name)) add(row);
    draws_ = wanted("draws");
    for (const char* preset : {"seed-dense", "seed-conv", "dcgan-28"})
      if (wanted(fmt::format("training {}", preset))) presets_.push_back(preset);
    if (ops_.empty() && !draws_ && presets_.empty())
      throw UsageError(fmt::format("--filter: no op and no training has '{}' in its name", filter));

    std::vector<std::string> notices;
    devices_ = devices_under_test(arguments, notices);
    print_notices(notices);
    // Another rounding than that of the kernels under test; the oracle of single ops is float64.
    const bool cuda = devices_[0].is_cuda();
    if (!cuda) std::get<CpuStream>(reference_.stream()).isa = Isa::baseline;
    if (!cuda) fmt::print("no GPU is tested, the CPU alone\n");
    for (const Device& device : devices_)
      fmt::print("testing {}{}\n", device.name(), cuda ? fmt::format(", products in {}", arguments.precision) : "");
  }

  int run() {
    if (!ops_.empty()) check_ops();
    if (draws_ && !beyond_use_) check_draws();
    if (!presets_.empty() && !beyond_use_) check_steps();
    if (beyond_use_) fmt::print("\nstopped: after that error the GPU cannot be used any more\n");
    if (failures_.empty()) {
      fmt::print("\nall {} checks passed\n", checks_);
      return 0;
    }
    constexpr std::size_t shown = 50;
    fmt::print("\n{} of {} checks failed{}\n", failures_.size(), checks_,
               failures_.size() > shown ? fmt::format("; the first {}:", shown) : ":");
    for (std::size_t i = 0; i < std::min(shown, failures_.size()); ++i) fmt::print("  {}\n", failures_[i]);
    return 1;
  }

 private:
  /// By op, in order of first appearance.
  void add(const op_test::OpCase& row) {
    const std::string op = op_of(row.name);
    auto at = std::ranges::find(ops_, op, [](const auto& each) { return each.first; });
    if (at == ops_.end()) at = ops_.insert(ops_.end(), {op, {}});
    at->second.push_back(row);
  }

  /// Runs a check, and returns "ok" or "FAILED". An exception fails it.
  template <class Check>
  std::string run_check(const std::string& what, Device& device, Check check) {
    ++checks_;
    std::vector<std::string> faults;
    try {
      faults = check();
    } catch (const DeviceError& error) {
      faults = {error.what()};
      beyond_use_ = !usable(device);
    } catch (const std::exception& error) {
      faults = {error.what()};
    }
    if (faults.empty()) return "ok";
    failures_.push_back(fmt::format("{}, {}: {}", what, device.name(), faults[0]));
    return "FAILED";
  }

  void check_ops() {
    fmt::print(
        "\nerror    largest of values and gradients against float64, as a part of what is allowed{}\n"
        "kernel   there is one exactly where there should be\n"
        "bits     the same in a second run, without a captured graph, and without shared memory\n"
        "memory   outputs are written, nothing beside them, and nothing unwritten is read\n\n"
        "{:<24}{:>6}{:>9}{:>9}{:>9}{:>9}\n",
        lower_precision(), "op", "shapes", "error", "kernel", "bits", "memory");
    for (const auto& [op, rows] : ops_) {
      double used = 0;
      const char* const names[] = {"error", "kernel", "bits", "memory"};
      std::string columns[] = {"ok", "ok", "ok", "ok"};
      const auto check = [&](int column, const op_test::OpCase& row, Device& device, auto what) {
        if (beyond_use_) return;
        const std::string result = run_check(fmt::format("{}, {}", row.name, names[column]), device, what);
        if (result != "ok") columns[column] = result;
      };
      for (Device& device : devices_)
        for (const op_test::OpCase& row : rows) {
          check(0, row, device, [&] {
            const op_test::Exactness exactness = check_exactness(reference_, device, row);
            used = std::max(used, exactness.used);
            return exactness.faults;
          });
          check(1, row, device, [&] { return check_kernels(device, row); });
          check(2, row, device, [&] { return check_bits(device, row); });
          check(3, row, device, [&] { return check_memory(device, row); });
        }
      if (columns[0] == "ok") columns[0] = fmt::format("{:.2f}", used);
      fmt::print("{:<24}{:>6}{:>9}{:>9}{:>9}{:>9}\n", op, rows.size(), columns[0], columns[1], columns[2], columns[3]);
      std::fflush(stdout);
      if (beyond_use_) return;
    }
  }

  /// What is allowed of products in it.
  std::string lower_precision() const {
    const double part = op_test::product_tolerance(devices_[0].precision());
    return part > 0 ? fmt::format(":\n         with products {:.2g} of the largest value", part) : "";
  }

  void check_draws() {
    std::string result = "ok";
    for (Device& device : devices_)
      if (run_check("draws", device, [&] { return ganforge::check_draws(device, reference_); }) != "ok")
        result = "FAILED";
    fmt::print("\nbatches and latents, to the bit: {}\n", result);
  }

  void check_steps() {
    const TrainingTolerance allowed = training_tolerance(devices_[0].precision());
    fmt::print("\ntraining, {} steps: losses against {}, relative to 1 + loss\n{:<24}{:>18}{:>14}{:>9}\n",
               selftest_steps, reference_.name(), "",
               fmt::format("first {} (≤ {:.0e})", selftest_first_steps, allowed.first),
               fmt::format("all (≤ {:.0e})", allowed.rest), "result");
    for (const std::string& preset : presets_) {
      double first = 0, rest = 0;
      std::string result = "ok";
      for (Device& device : devices_) {
        if (beyond_use_) break;
        const std::string one = run_check("training " + preset, device, [&] {
          const TrainingCheck check = check_training(preset, device, reference_);
          first = std::max(first, check.first);
          rest = std::max(rest, check.rest);
          return check.faults;
        });
        if (one != "ok") result = one;
      }
      fmt::print("{:<24}{:>18.1e}{:>14.1e}{:>9}\n", preset, first, rest, result);
      std::fflush(stdout);
    }
  }

  std::vector<std::pair<std::string, std::vector<op_test::OpCase>>> ops_;
  bool draws_ = false;
  std::vector<std::string> presets_;
  Device reference_ = Device::cpu();
  std::vector<Device> devices_;
  std::vector<std::string> failures_;
  int checks_ = 0;
  bool beyond_use_ = false;  // a CUDA error leaves nothing that could be tested further
};

}  // namespace

Command selftest_command() {
  const auto a = std::make_shared<SelftestArguments>();
  Command command;
  command.name = "selftest";
  command.summary = "checks every op and the first training steps on this device against the CPU";
  command.examples =
      "  ganforge selftest                              the GPU, or the CPU where there is none\n"
      "  ganforge selftest --device cuda --filter conv2d\n"
      "  ganforge selftest --device cuda --precision tf32\n"
      "Exits with 0 if everything is as it should be, else with 1.\n";
  command.groups = {{"What to check",
                     {{"--filter", "TEXT", "ops, and presets after the word 'training', with TEXT in their names",
                       set_text(a->filter)},
                      {"--conv", "MODE", "convolutions: auto, library, own or direct (default auto)",
                       set_choice(a->conv, conv_mode_names())},
                      precision_flag(a->precision)}},
                    device_flags(a->device)};
  command.run = [a](const std::vector<std::string>&) { return Selftest(*a).run(); };
  return command;
}

}  // namespace ganforge
