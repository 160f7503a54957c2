// A data set in parts for measuring: a classifier learns from one, generated samples are compared with another, and the
// third are real samples beside the generated ones.
#pragma once

#include <ganforge/data.h>

#include <span>
#include <string>

namespace ganforge {

/// No image is in two of them. Where there are labels every class is divided in the same proportion.
struct DataParts {
  HostDataset train;
  HostDataset held_out;  ///< a fifth of the training data, or the share that makes about 10,000
  HostDataset test;      ///< the data set's own part for testing; where it has none, as much again of the training data
  bool own_test = false;  ///< it has one
  std::string digest;     ///< SHA-256 of the images and labels of the training data, before they are divided
};

/// find_dataset() with its options, divided. Throws what that throws, and ConfigError where there are too few images.
DataParts data_parts(const std::string& name_or_path, const DatasetOptions& options = {});

/// The samples of these numbers, in this order.
HostDataset subset(const HostDataset& data, std::span<const std::int64_t> samples);
/// `count` samples in an order that the seed gives; all of them where there are no more.
HostDataset draw_subset(const HostDataset& data, std::int64_t count, std::uint64_t seed);
/// Both, one behind the other. `more` has labels and images of the same shape; its classes are those of `data` by name,
/// but for case and punctuation, or by number. Throws FormatError for a class that `data` lacks (with the nearest), and
/// ShapeError for other images.
HostDataset joined(const HostDataset& data, const HostDataset& more);

}  // namespace ganforge
