// What there is in a data set.
#pragma once

#include <ganforge/data.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace ganforge {

struct DatasetSummary {
  struct Side {
    std::int64_t smallest = 0, largest = 0;
  };
  std::string name, format;
  std::int64_t count = 0, channels = 0;
  Side height, width;                                         ///< they differ in folders of images only
  std::vector<std::pair<std::string, std::int64_t>> classes;  ///< names and how many images each has
  std::vector<double> mean, std;                              ///< per channel, of all pixels, bytes divided by 255
  std::vector<std::string> notes;
};

/// Like find_dataset(), but keeps no image of a folder and wants them of no size.
DatasetSummary summarize_dataset(const std::string& name_or_path, const DatasetOptions& options);

}  // namespace ganforge
