#include "src/cli/image_eval.h"

#include "src/cli/load_data.h"
#include "src/cli/synthetic.h"

#include <ganforge/error.h>

#include <fmt/format.h>

namespace ganforge {

DataParts data_parts_of(const Config& config) {
  const Shape sample = generated_sample(config);
  if (sample.rank() != 3 || (sample[2] != 1 && sample[2] != 3))
    throw ConfigError(
        fmt::format("the generator makes samples {}; only images [height, width, 1 or 3] can be measured "
                    "by a classifier",
                    sample.str()));
  if (config.data.empty()) throw ConfigError("the configuration names no data, so there is nothing to measure against");
  DataParts parts = data_parts(config.data, {.height = sample[0],
                                             .width = sample[1],
                                             .channels = sample[2],
                                             .skip_bad = config.skip_bad,
                                             .progress = decoding_progress()});
  if (parts.train.sample != sample)
    throw ShapeError(fmt::format("the model makes images {}, but those of {} are {}", sample.str(), parts.train.name,
                                 parts.train.sample.str()));
  return parts;
}

ImageEval::ImageEval(Device& device, DataParts data, const std::optional<std::string>& classifier)
    : device_(device),
      data_(std::move(data)),
      classifier_(find_classifier(device, data_, classifier, file_)),
      reference_(classifier_.classify(data_.test)) {}

ImageMetrics ImageEval::measure(const HostDataset& images) {
  const Classifier::Answers answers = classifier_.classify(images);
  return {compare(answers.features, reference_.features, device_),
          class_kl(answers.classes, reference_.classes, static_cast<std::int64_t>(classifier_.classes().size())),
          images.count};
}

ImageMetrics ImageEval::floor(std::int64_t n, std::uint64_t seed) {
  return measure(draw_subset(data_.held_out, n, seed));
}

double ImageEval::frechet(const HostDataset& images) {
  return frechet_distance(classifier_.classify(images).features, reference_.features);
}

}  // namespace ganforge
