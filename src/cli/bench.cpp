// ganforge bench: how fast a training step is.
#include "src/cli/allocations.h"
#include "src/cli/commands.h"
#include "src/cli/load_data.h"
#include "src/cli/open_device.h"
#include "src/cli/synthetic.h"

#include <ganforge/gan.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <chrono>

namespace ganforge {
namespace {

constexpr std::int64_t images = 16'384;
constexpr std::int64_t default_steps = 300, default_warmup = 30;

struct BenchArguments {
  std::optional<std::string> preset;
  std::optional<std::int64_t> batch, steps, warmup;
  DeviceArguments device;
  std::string conv = "auto", precision = "fp32";
  Residency data_memory = Residency::automatic;
  bool json = false, tune = false;
};

std::int64_t page_faults() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt + usage.ru_majflt;
}

struct Timing {
  double median_ms = 0, min_ms = 0;
  std::optional<double> allocations;  // a step
  double page_faults = 0;
};

/// On a GPU a step is a few launches that nobody waits for, so `group` of them are timed together.
Timing measure(Trainer& trainer, std::int64_t steps, std::int64_t group) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> ms(static_cast<std::size_t>((steps + group - 1) / group), 0.0);
  const std::optional<std::uint64_t> allocated = allocation_count();
  const std::int64_t faults = page_faults();
  std::int64_t left = steps;
  for (double& each : ms) {
    const std::int64_t now = std::min(group, left);
    const Clock::time_point begin = Clock::now();
    trainer.run(now);
    each = std::chrono::duration<double, std::milli>(Clock::now() - begin).count() / static_cast<double>(now);
    left -= now;
  }
  Timing timing;
  const auto count = static_cast<double>(steps);
  timing.page_faults = static_cast<double>(page_faults() - faults) / count;
  if (allocated) timing.allocations = static_cast<double>(*allocation_count() - *allocated) / count;
  std::ranges::sort(ms);
  timing.min_ms = ms.front();
  timing.median_ms = (ms[ms.size() / 2] + ms[(ms.size() - 1) / 2]) / 2;
  return timing;
}

int bench(const BenchArguments& a) {
  Config config = preset(a.preset.value_or("seed-dense"));
  if (a.batch) config.training.batch = *a.batch;
  const std::int64_t steps = a.steps.value_or(default_steps);
  std::vector<std::string> notices;
  Device device = open_device(a.device, notices);
  device.conv_policy() = {.mode = conv_mode_named(a.conv), .chosen = {}, .tune = a.tune};
  device.set_precision(precision_named(a.precision));
  const Dataset data(device, synthetic_data(config, images), a.data_memory);
  Trainer trainer(device, data, trainer_options(config));
  print_notices(notices);
  const std::int64_t group = device.is_cuda() ? 10 : 1;
  measure(trainer, a.warmup.value_or(default_warmup), group);  // what is measured includes the measuring
  const Timing timing = measure(trainer, steps, group);

  const auto images_per_step = static_cast<double>(config.training.batch * config.training.d_steps);
  auto where = describe(device);
  nlohmann::ordered_json result = {{"preset", config.preset},
                                   {"device", where["device"]},
                                   {"precision", name_of(device.precision())},
                                   {"batch", config.training.batch},
                                   {"threads", nullptr},
                                   {"isa", nullptr},
                                   {"steps", steps},
                                   {"ms_per_step_median", timing.median_ms},
                                   {"ms_per_step_min", timing.min_ms},
                                   {"images_per_s", images_per_step / timing.median_ms * 1000},
                                   {"allocations_per_step", nullptr},
                                   {"page_faults_per_step", timing.page_faults},
                                   {"launches_per_step", trainer.program().launches()}};
  if (!device.is_cuda()) {
    result["threads"] = std::stoi(where["threads"]);
    result["isa"] = where["isa"];
  }
  if (timing.allocations) result["allocations_per_step"] = *timing.allocations;
  if (a.json)
    fmt::print("{}\n", result.dump());
  else
    for (const auto& [key, value] : result.items())
      fmt::print("{:<22}{}\n", key, value.is_string() ? value.get<std::string>() : value.dump());
  return 0;
}

}  // namespace

Command bench_command() {
  const auto a = std::make_shared<BenchArguments>();
  Command command;
  command.name = "bench";
  command.summary = "times training steps on synthetic images";
  command.examples =
      "  ganforge bench\n"
      "  ganforge bench --preset seed-dense --batch 64 --threads 2 --device cpu --json\n";
  const std::int64_t batch = preset("seed-dense").training.batch;
  command.groups = {
      {"What to time",
       {{"--preset", "NAME", "(default seed-dense)", set_preset(a->preset)},
        {"--batch", "N", fmt::format("real samples a step (default that of the preset; seed-dense: {})", batch),
         set_whole(a->batch, 1, images)},
        {"--steps", "N", fmt::format("steps that are timed (default {})", default_steps),
         set_whole(a->steps, 1, 100'000'000)},
        {"--warmup", "N", fmt::format("steps before that (default {})", default_warmup),
         set_whole(a->warmup, 1, 100'000'000)},
        {"--conv", "MODE", "convolutions: auto, library, own or direct (default auto)",
         set_choice(a->conv, conv_mode_names())},
        {"--tune", "", "measures each convolution first and takes the fastest kernels", set_true(a->tune)},
        data_memory_flag(a->data_memory),
        precision_flag(a->precision),
        {"--json", "", "prints one JSON object", set_true(a->json)}}},
      device_flags(a->device)};
  command.run = [a](const std::vector<std::string>&) { return bench(*a); };
  return command;
}

}  // namespace ganforge
