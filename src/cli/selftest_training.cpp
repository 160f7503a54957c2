#include "src/cli/selftest_training.h"

#include "src/cli/synthetic.h"

#include <ganforge/program.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ganforge {
namespace {

constexpr std::int64_t batch = 8, images = 256;

struct Trained {
  std::vector<Stats> stats;
  std::vector<float> samples;
};

Trained train(Device& device, const Config& config) {
  const Dataset data(device, synthetic_data(config, images));
  Trainer trainer(device, data, trainer_options(config));
  Trained result;
  trainer.run(
      selftest_steps, [&](const Stats& stats) { result.stats.push_back(stats); }, 1);
  result.samples = trainer.sample(batch).values;
  return result;
}

bool same(const Trained& a, const Trained& b) {
  return a.samples == b.samples && std::ranges::equal(a.stats, b.stats, [](const Stats& x, const Stats& y) {
           return x.d_loss == y.d_loss && x.g_loss == y.g_loss && x.d_real == y.d_real && x.d_fake == y.d_fake;
         });
}

double difference(float got, float want) {
  const double d = std::abs(static_cast<double>(got) - want) / (1 + std::abs(static_cast<double>(want)));
  return std::isnan(d) ? INFINITY : d;
}

}  // namespace

TrainingCheck check_training(const std::string& name, Device& device, Device& reference) {
  Config config = preset(name);
  config.training.batch = batch;
  const Trained got = train(device, config), want = train(reference, config);
  const TrainingTolerance tolerance = training_tolerance(device.precision());
  TrainingCheck check;
  for (std::size_t i = 0; i < want.stats.size(); ++i) {
    const double worst = std::max(difference(got.stats[i].d_loss, want.stats[i].d_loss),
                                  difference(got.stats[i].g_loss, want.stats[i].g_loss));
    const bool first = static_cast<std::int64_t>(i) < selftest_first_steps;
    if (first) check.first = std::max(check.first, worst);
    check.rest = std::max(check.rest, worst);
    const double allowed = first ? tolerance.first : tolerance.rest;
    if (!(worst <= allowed) && check.faults.empty())
      check.faults.push_back(fmt::format("step {}: losses {}, {} instead of {}, {}; {:.1e} apart, {:.0e} allowed",
                                         i + 1, got.stats[i].d_loss, got.stats[i].g_loss, want.stats[i].d_loss,
                                         want.stats[i].g_loss, worst, allowed));
  }
  if (!same(got, train(device, config))) check.faults.push_back("a second training gives other bits");
  return check;
}

std::vector<std::string> check_draws(Device& device, Device& reference) {
  const auto drawn = [](Device& on) {
    HostDataset host{"synthetic", {4, 4, 1}, 100, {}, {}, {}};
    std::vector<std::uint8_t> pixels(1600);
    for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 7);
    host.pixels = std::move(pixels);
    const Dataset data(on, std::move(host));
    VariableStore store(on, 3);
    Graph graph;
    Context context(graph, store, Mode::training);
    const Drawn d = draw(
        context, data,
        {.rows = 32, .latents = {LatentSpec(Shape{32, 100}), LatentSpec(Shape{32, 5}, true, -1, 1)}, .schedules = {}});
    graph.output("batch", d.real);
    graph.output("normal latents", d.latents[0]);
    graph.output("uniform latents", d.latents[1]);
    Program program = compile(on, graph);
    std::map<std::string, std::vector<float>> all;
    for (int step = 0; step < 5; ++step) {
      program.run();
      for (const auto& [name, value] : graph.outputs())
        for (float x : program.floats(name)) all[name].push_back(x);
    }
    return all;
  };
  std::vector<std::string> faults;
  const auto got = drawn(device), want = drawn(reference);
  for (const auto& [name, values] : want)
    if (got.at(name) != values) faults.push_back(name + " are not the reference's");
  return faults;
}

}  // namespace ganforge
