#include "src/data/summary.h"

#include "src/data/find_dataset.h"
#include "src/data/resize.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

namespace ganforge {
namespace {

/// Sums of the values and their squares, exact in 64 bits for 2^48 pixels.
class Moments {
 public:
  explicit Moments(std::int64_t channels) : sum_(static_cast<std::size_t>(channels)), squares_(sum_.size()) {}

  /// One channel counts for all.
  void add(std::span<const std::uint8_t> pixels, std::size_t channels) {
    for (std::size_t c = 0; c < sum_.size(); ++c) {
      std::uint64_t sum = 0, squares = 0;
      for (std::size_t i = channels == 1 ? 0 : c; i < pixels.size(); i += channels) {
        sum += pixels[i];
        squares += std::uint64_t{pixels[i]} * pixels[i];
      }
      sum_[c] += sum;
      squares_[c] += squares;
    }
    count_ += pixels.size() / channels;
  }

  void write(DatasetSummary& summary) const {
    const auto n = static_cast<double>(count_);
    for (std::int64_t c = 0; c < summary.channels; ++c) {
      const auto at = static_cast<std::size_t>(c);
      const double mean = static_cast<double>(sum_[at]) / n;
      const double variance = static_cast<double>(squares_[at]) / n - mean * mean;
      summary.mean.push_back(mean / 255);
      summary.std.push_back(std::sqrt(std::max(variance, 0.0)) / 255);
    }
  }

 private:
  std::vector<std::uint64_t> sum_, squares_;
  std::uint64_t count_ = 0;
};

void widen(DatasetSummary::Side& side, std::int64_t extent, bool first) {
  side.smallest = first ? extent : std::min(side.smallest, extent);
  side.largest = std::max(side.largest, extent);
}

DatasetSummary summarize(const ImageFiles& files, const DatasetOptions& options) {
  DatasetSummary summary;
  summary.name = folder_name(files.folder);
  summary.format = "image folder";
  summary.channels = 1;
  summary.notes = files.notes;
  for (const std::string& name : files.classes) summary.classes.emplace_back(name, 0);
  Moments moments(3);
  const auto use = [&](std::size_t index, const Decoded& decoded) {
    const Image& image = decoded.image;
    widen(summary.height, image.height, summary.count == 0);
    widen(summary.width, image.width, summary.count == 0);
    if (!is_grey(image)) summary.channels = 3;
    moments.add(image.pixels, static_cast<std::size_t>(image.channels));
    if (!files.labels.empty()) ++summary.classes[static_cast<std::size_t>(files.labels[index])].second;
    ++summary.count;
  };
  const std::vector<std::string> notes = decode_all(files, options, use);
  summary.notes.insert(summary.notes.end(), notes.begin(), notes.end());
  moments.write(summary);
  return summary;
}

}  // namespace

DatasetSummary summarize_dataset(const std::string& name_or_path, const DatasetOptions& options) {
  if (const std::optional<ImageFiles> files = image_files_at(name_or_path)) return summarize(*files, options);
  const HostDataset data = find_dataset(name_or_path, options);
  DatasetSummary summary;
  summary.name = data.name;
  summary.format = data.format;
  summary.count = data.count;
  summary.height = {data.sample[0], data.sample[0]};
  summary.width = {data.sample[1], data.sample[1]};
  summary.channels = data.sample[2];
  summary.notes = data.notes;
  for (const std::string& name : data.classes) summary.classes.emplace_back(name, 0);
  for (std::int32_t label : data.labels) ++summary.classes[static_cast<std::size_t>(label)].second;
  Moments moments(summary.channels);
  moments.add({data.pixels.data(), data.pixels.size()}, static_cast<std::size_t>(summary.channels));
  moments.write(summary);
  return summary;
}

}  // namespace ganforge
