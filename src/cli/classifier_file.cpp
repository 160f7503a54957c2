#include "src/cli/classifier_file.h"

#include <ganforge/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <system_error>

namespace ganforge {
namespace {

namespace fs = std::filesystem;

fs::path cache_folder() {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache) return fs::path(cache) / "ganforge";
  if (const char* home = std::getenv("HOME"); home && *home) return fs::path(home) / ".cache/ganforge";
  throw ConfigError("HOME is not set, so there is no folder to keep the classifier in; name one with --classifier");
}

std::int64_t steps_of(const DataParts& data, const ClassifierTraining& training) {
  const std::int64_t batch = std::min(ClassifierOptions{}.batch, data.train.count);
  return training.steps > 0 ? training.steps : (classifier_epochs * data.train.count + batch - 1) / batch;
}

void check_labels(const DataParts& data) {
  if (!data.train.labels.empty()) return;
  throw ConfigError(
      fmt::format("{} has no labels for a classifier to learn: images in sub-folders have those of their folders",
                  data.train.name));
}

}  // namespace

fs::path cached_classifier(const DataParts& data) {
  const Shape& sample = data.train.sample;
  std::string name = data.train.name.substr(0, 80);
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '_' && c != '.') c = '-';
  return cache_folder() / "classifiers" /
         fmt::format("{}-{}x{}x{}-{}.safetensors", name, sample[0], sample[1], sample[2], data.digest.substr(0, 12));
}

Classifier train_classifier(Device& device, const DataParts& data, const ClassifierTraining& training) {
  check_labels(data);
  ClassifierOptions options;
  options.seed = training.seed;
  Classifier classifier(device, data.train.sample, data.train.classes, options);
  const Dataset on_device(device, data.train);
  const std::int64_t steps = steps_of(data, training);
  std::function<void(std::int64_t, float, float)> report;
  if (training.progress)
    report = [&](std::int64_t step, float loss, float accuracy) { training.progress(step, steps, loss, accuracy); };
  classifier.train(on_device, steps, report, std::max<std::int64_t>(steps / 10, 1));
  return classifier;
}

double save_classifier(Classifier& classifier, const fs::path& path, const DataParts& data,
                       const ClassifierTraining& training) {
  const double accuracy = classifier.accuracy(data.test);
  std::error_code error;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  if (error)
    throw FormatError(fmt::format("cannot make the folder {}: {}", path.parent_path().string(), error.message()));
  classifier.save(path, {{"data", data.train.name},
                         {"data_sha256", data.digest},
                         {"test_accuracy", fmt::format("{}", accuracy)},
                         {"train_images", fmt::format("{}", data.train.count)},
                         {"test_images", fmt::format("{}", data.test.count)},
                         {"steps", fmt::format("{}", steps_of(data, training))},
                         {"seed", fmt::format("{}", training.seed)}});
  return accuracy;
}

Classifier find_classifier(Device& device, const DataParts& data, const std::optional<std::string>& file,
                           fs::path& where) {
  where = file ? fs::path(*file) : cached_classifier(data);
  std::error_code error;
  if (!file && !fs::exists(where, error)) {
    check_labels(data);
    fmt::print(stderr, "ganforge: there is no classifier of {} yet: training one on {} images\n", data.train.name,
               data.train.count);
    std::fflush(stderr);
    Classifier classifier = train_classifier(device, data, {});
    const double accuracy = save_classifier(classifier, where, data, {});
    fmt::print(stderr, "ganforge: it is right about {:.2f} % of the test images, and kept as {}\n", 100 * accuracy,
               where.string());
    return classifier;
  }
  Classifier classifier = Classifier::load(device, where);
  if (classifier.sample() != data.train.sample)
    throw ShapeError(fmt::format("{}: a classifier of images {}, but those of {} are {}", where.string(),
                                 classifier.sample().str(), data.train.name, data.train.sample.str()));
  return classifier;
}

}  // namespace ganforge
