// How many modes of Stacked-MNIST a model makes, by a classifier of the images that are stacked.
#pragma once

#include "src/cli/classifier_file.h"
#include "src/gan/metrics_stacked.h"

#include <ganforge/data.h>

#include <cstdint>
#include <optional>
#include <string>

namespace ganforge {

class StackedEval {
 public:
  /// `grey`: what stacked_from() gave. `classifier` as for find_classifier().
  StackedEval(Device& device, const std::string& grey, const std::optional<std::string>& classifier);

  /// Of images with three channels.
  StackedMetrics measure(const HostDataset& images);
  /// The same of `n` stacks of test images.
  StackedMetrics floor(std::int64_t n, std::uint64_t seed);

  std::int64_t modes() const;
  const std::filesystem::path& classifier_file() const { return file_; }

 private:
  DataParts data_;
  std::filesystem::path file_;
  Classifier classifier_;
};

}  // namespace ganforge
