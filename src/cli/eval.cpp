// ganforge eval: how good a model is.
#include "src/cli/commands.h"
#include "src/cli/image_eval.h"
#include "src/cli/stacked_eval.h"
#include "src/cli/trained.h"
#include "src/data/stacked.h"
#include "src/gan/metrics_mixture.h"
#include "src/gan/sample_images.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <random>

namespace ganforge {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::int64_t default_points = 2500, default_images = 10'000, default_stacks = 25'600;

struct EvalArguments {
  std::optional<std::string> source, classifier;
  std::optional<std::int64_t> n, seed;
  std::string checkpoint = "newest";
  bool json = false;
  DeviceArguments device;
};

void add(Json& object, const MixtureMetrics& m) {
  object["modes"] = m.modes;
  object["high_quality"] = m.high_quality;
  object["reverse_kl"] = m.reverse_kl;
  object["sigma_ratio"] = m.sigma_ratio;
}

void add(Json& object, const ImageMetrics& m) {
  object["frechet"] = m.features.frechet;
  object["kernel"] = m.features.kernel;
  object["precision"] = m.features.precision;
  object["recall"] = m.features.recall;
  object["density"] = m.features.density;
  object["coverage"] = m.features.coverage;
  object["class_kl"] = m.class_kl;
  object["n"] = m.n;
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

int eval_mixture(const Mixture& mixture, const Trained& trained, const EvalArguments& a) {
  if (a.classifier) throw UsageError(fmt::format("--classifier: {} are points, there are no images", mixture.name));
  const std::string& data = trained.config().data;
  const std::int64_t n = a.n.value_or(default_points);
  const auto seed = static_cast<std::uint64_t>(a.seed.value_or(0));
  const MixtureMetrics model = mixture_metrics(trained.trainer().sample(n, seed).values, mixture);
  const MixtureMetrics real = floor_of(mixture, n, seed);

  if (a.json) {
    Json result = {{"data", data}, {"step", trained.trainer().step()}};
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
    fmt::print("{:<8}{:>3}/{:<2}{:>14.4f}{:>12.4f}{:>13.3f}{:>8}{:>6}\n", name, m.modes, mixture.centres.size(),
               m.high_quality, m.reverse_kl, m.sigma_ratio, n, seed);
  return 0;
}

int eval_images(const Trained& trained, const EvalArguments& a) {
  ImageEval measure(trained.device(), data_parts_of(trained.config()), a.classifier);
  const DataParts& data = measure.data();
  const std::int64_t n = a.n.value_or(std::min(default_images, data.held_out.count));
  const auto seed = static_cast<std::uint64_t>(a.seed.value_or(0));
  HostDataset samples = to_images(trained.trainer().sample(n, seed), "the samples");
  const ImageMetrics model = measure.measure(samples);
  const ImageMetrics real = measure.floor(n, seed);
  std::optional<double> agreement;
  const std::vector<std::string>& asked = trained.trainer().classes();
  if (const auto k = std::ssize(asked); k > 0 && asked == measure.classifier().classes()) {
    // The trainer makes samples of all classes in turn.
    for (std::int64_t i = 0; i < n; ++i) samples.labels.push_back(static_cast<std::int32_t>(i % k));
    agreement = measure.agreement(samples);
  }

  const std::map<std::string, std::string>& about = measure.classifier().metadata();
  const auto known = [&](const char* key) { return about.contains(key) ? about.at(key) : std::string(); };
  const double accuracy = std::atof(known("test_accuracy").c_str());
  if (a.json) {
    Json result = {{"data", data.train.name}, {"step", trained.trainer().step()}};
    add(result, model);
    if (agreement) result["class_agreement"] = *agreement;
    result["seed"] = seed;
    result["reference"] = {{"images", data.test.count}, {"own_test", data.own_test}};
    add(result["real"], real);
    result["classifier"] = {{"file", measure.classifier_file().string()},
                            {"data", known("data")},
                            {"same_data", known("data_sha256") == data.digest},
                            {"test_accuracy", accuracy}};
    fmt::print("{}\n", result.dump(-1, ' ', false, Json::error_handler_t::replace));
    return 0;
  }
  fmt::print("{}, step {}, against {} {}\n", data.train.name, trained.trainer().step(), data.test.count,
             data.own_test ? "test images" : "images of the training data, which have no part for testing");
  fmt::print("{:<8}{:>9}{:>10}{:>11}{:>8}{:>9}{:>10}{:>10}{:>8}{:>6}\n", "", "frechet", "kernel", "precision", "recall",
             "density", "coverage", "class_kl", "n", "seed");
  for (const auto& [name, m] : {std::pair("model", model), std::pair("real", real)})
    fmt::print("{:<8}{:>9.3f}{:>10.4f}{:>11.4f}{:>8.4f}{:>9.4f}{:>10.4f}{:>10.4f}{:>8}{:>6}\n", name,
               m.features.frechet, m.features.kernel, m.features.precision, m.features.recall, m.features.density,
               m.features.coverage, m.class_kl, m.n, seed);
  if (agreement)
    fmt::print("{:.2f} % of the samples are taken to be of the class that was asked for\n", 100 * *agreement);
  fmt::print("features of {} ({})\n", measure.classifier_file().string(),
             known("data_sha256") == data.digest
                 ? fmt::format("right about {:.2f} % of the test images", 100 * accuracy)
                 : fmt::format("trained on other data, {}", known("data")));
  return 0;
}

int eval_stacked(const std::string& grey, const Trained& trained, const EvalArguments& a) {
  StackedEval measure(trained.device(), grey, a.classifier);
  const std::int64_t n = a.n.value_or(default_stacks);
  const auto seed = static_cast<std::uint64_t>(a.seed.value_or(0));
  const StackedMetrics model = measure.measure(to_images(trained.trainer().sample(n, seed), "the samples"));
  const StackedMetrics real = measure.floor(n, seed);
  const std::string& data = trained.config().data;
  if (a.json) {
    const Json result = {{"data", data},
                         {"step", trained.trainer().step()},
                         {"modes", model.modes},
                         {"reverse_kl", model.reverse_kl},
                         {"n", n},
                         {"seed", seed},
                         {"real", {{"modes", real.modes}, {"reverse_kl", real.reverse_kl}}},
                         {"classifier", measure.classifier_file().string()}};
    fmt::print("{}\n", result.dump(-1, ' ', false, Json::error_handler_t::replace));
    return 0;
  }
  fmt::print("{}, step {}\n{:<8}{:>12}{:>12}{:>8}{:>6}\n", data, trained.trainer().step(), "", "modes", "reverse_kl",
             "n", "seed");
  for (const auto& [name, m] : {std::pair("model", model), std::pair("real", real)})
    fmt::print("{:<8}{:>7}/{:<4}{:>12.4f}{:>8}{:>6}\n", name, m.modes, measure.modes(), m.reverse_kl, n, seed);
  fmt::print("channels are told apart by {}\n", measure.classifier_file().string());
  return 0;
}

int eval(const EvalArguments& a) {
  const Trained trained(*a.source, a.device, a.checkpoint == "best");
  if (const auto grey = stacked_from(trained.config().data)) return eval_stacked(*grey, trained, a);
  const Mixture* mixture = find_mixture(trained.config().data);
  return mixture ? eval_mixture(*mixture, trained, a) : eval_images(trained, a);
}

}  // namespace

Command eval_command() {
  const auto a = std::make_shared<EvalArguments>();
  Command command;
  command.name = "eval";
  command.summary = "measures a model beside real samples: of images, or of a two-dimensional mixture";
  command.examples =
      "  ganforge eval runs/00000-dcgan-28-fashion-mnist\n"
      "  ganforge eval runs/00000-dcgan-28-fashion-mnist --checkpoint best --seed 1\n"
      "  ganforge eval runs/00001-toy-2d-ring8 --n 10000 --json\n";
  command.positionals = {{"RUN", "a run folder (its newest checkpoint) or a checkpoint", set_text(a->source)}};
  command.groups = {
      {"What to measure",
       {{"--n", "N",
         fmt::format("number of samples (default {} images, or as many as were held out; {} stacked ones; {} points)",
                     default_images, default_stacks, default_points),
         set_whole(a->n, 10, 10'000'000)},
        {"--seed", "N", "of the latents (default 0)", set_whole(a->seed, 0, std::numeric_limits<std::int64_t>::max())},
        checkpoint_flag(a->checkpoint),
        {"--classifier", "FILE",
         "whose features are compared (default: the one of the data set, trained at the first call)",
         set_text(a->classifier)},
        {"--json", "", "prints one JSON object", set_true(a->json)}}},
      device_flags(a->device)};
  command.run = [a](const std::vector<std::string>&) { return eval(*a); };
  return command;
}

}  // namespace ganforge
