// ganforge eval: how good a model is.
#include "src/cli/commands.h"
#include "src/cli/trained.h"
#include "src/gan/metrics_mixture.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cstring>
#include <limits>
#include <memory>
#include <random>

namespace ganforge {
namespace {

constexpr std::int64_t default_n = 2500;

struct EvalArguments {
  std::optional<std::string> source;
  std::optional<std::int64_t> n, seed;
  bool json = false;
  DeviceArguments device;
};

void add(nlohmann::ordered_json& object, const MixtureMetrics& m) {
  object["modes"] = m.modes;
  object["high_quality"] = m.high_quality;
  object["reverse_kl"] = m.reverse_kl;
  object["sigma_ratio"] = m.sigma_ratio;
}

/// The same of as many independent samples of the mixture itself: what n samples can reach.
MixtureMetrics floor_of(const Mixture& mixture, std::int64_t n, std::uint64_t seed) {
  // A data set has its modes in turn: of each round one is taken.
  const std::size_t modes = mixture.centres.size(), point = 2 * sizeof(float);
  const HostDataset data =  // 0 and 1 are the training and test data
      sample_mixture(mixture, n * static_cast<std::int64_t>(modes), seed + 2);
  std::mt19937_64 engine(seed);
  std::vector<float> values(static_cast<std::size_t>(2 * n));
  for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i)
    std::memcpy(&values[2 * i], data.pixels.data() + (i * modes + engine() % modes) * point, point);
  return mixture_metrics(values, mixture);
}

int eval(const EvalArguments& a) {
  const Trained trained(*a.source, a.device);
  const std::string& data = trained.config().data;
  const Mixture* mixture = find_mixture(data);
  if (!mixture)
    throw ConfigError(fmt::format("{}: trained on '{}'; eval measures models of ring8 and grid25", *a.source, data));
  const std::int64_t n = a.n.value_or(default_n);
  const auto seed = static_cast<std::uint64_t>(a.seed.value_or(0));
  const MixtureMetrics model = mixture_metrics(trained.trainer().sample(n, seed).values, *mixture);
  const MixtureMetrics real = floor_of(*mixture, n, seed);

  if (a.json) {
    nlohmann::ordered_json result = {{"data", data}, {"step", trained.trainer().step()}};
    add(result, model);
    result["n"] = n;
    result["seed"] = seed;
    add(result["real"], real);
    fmt::print("{}\n", result.dump());
    return 0;
  }
  fmt::print("{:<8}{:>6}{:>14}{:>12}{:>13}{:>8}{:>6}\n", data, "modes", "high_quality", "reverse_kl", "sigma_ratio",
             "n", "seed");
  for (const auto& [name, m] : {std::pair("model", model), std::pair("real", real)})
    fmt::print("{:<8}{:>3}/{:<2}{:>14.4f}{:>12.4f}{:>13.3f}{:>8}{:>6}\n", name, m.modes, mixture->centres.size(),
               m.high_quality, m.reverse_kl, m.sigma_ratio, n, seed);
  return 0;
}

}  // namespace

Command eval_command() {
  const auto a = std::make_shared<EvalArguments>();
  Command command;
  command.name = "eval";
  command.summary = "measures a model of a two-dimensional mixture, beside real samples";
  command.examples =
      "  ganforge eval runs/00000-toy-2d-ring8\n"
      "  ganforge eval runs/00000-toy-2d-ring8 --n 10000 --json\n";
  command.positionals = {{"RUN", "a run folder (its newest checkpoint) or a checkpoint", set_text(a->source)}};
  command.groups = {
      {"What to measure",
       {{"--n", "N", fmt::format("number of samples (default {})", default_n), set_whole(a->n, 1, 10'000'000)},
        {"--seed", "N", "of the latents (default 0)", set_whole(a->seed, 0, std::numeric_limits<std::int64_t>::max())},
        {"--json", "", "prints one JSON object", set_true(a->json)}}},
      device_flags(a->device)};
  command.run = [a](const std::vector<std::string>&) { return eval(*a); };
  return command;
}

}  // namespace ganforge
