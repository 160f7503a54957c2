// How close a model's images are to real ones, by a classifier's features.
#pragma once

#include "src/cli/classifier_file.h"

#include <ganforge/gan.h>

#include <optional>
#include <string>
#include <vector>

namespace ganforge {

/// The data set of a configuration in parts, in the size and with the channels that its generator makes. Throws
/// ConfigError if those are no images, or the configuration has no data.
DataParts data_parts_of(const Config& config);

/// The metrics of one set of images.
struct ImageMetrics {
  FeatureMetrics features;
  double class_kl = 0;
  std::int64_t n = 0;
};

class ImageEval {
 public:
  /// `classifier` as for find_classifier().
  ImageEval(Device& device, DataParts data, const std::optional<std::string>& classifier);

  const DataParts& data() const { return data_; }
  const Classifier& classifier() const { return classifier_; }
  const std::filesystem::path& classifier_file() const { return file_; }

  /// Against the test images.
  ImageMetrics measure(const HostDataset& images);
  /// The same of `n` held-out real images, or as many as there are: the floor.
  ImageMetrics floor(std::int64_t n, std::uint64_t seed);
  double frechet(const HostDataset& images);
  /// Share of the images that the classifier takes to be of the class that is their label.
  double agreement(const HostDataset& images) { return classifier_.accuracy(images); }

 private:
  Device& device_;
  DataParts data_;
  std::filesystem::path file_;
  Classifier classifier_;
  Classifier::Answers reference_;
};

}  // namespace ganforge
