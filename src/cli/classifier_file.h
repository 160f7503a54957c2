// The classifier whose features measure images: from a file, from the cache, or trained on the spot.
#pragma once

#include "src/data/parts.h"

#include <ganforge/classifier.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

namespace ganforge {

inline constexpr std::int64_t classifier_epochs = 4;

/// Where `eval` looks for the classifier of these data: a file in ~/.cache/ganforge/classifiers, or under
/// $XDG_CACHE_HOME. Throws ConfigError if neither HOME nor that is set.
std::filesystem::path cached_classifier(const DataParts& data);

struct ClassifierTraining {
  std::int64_t steps = 0;  ///< 0: classifier_epochs
  std::uint64_t seed = 1;
  std::function<void(std::int64_t step, std::int64_t steps, float loss, float accuracy)> progress = {};
};
/// Trains on data.train. Throws ConfigError if there are no labels.
Classifier train_classifier(Device& device, const DataParts& data, const ClassifierTraining& training);
/// With data set, digest, steps, seed and accuracy on data.test (returned) as metadata. Makes the folder.
double save_classifier(Classifier& classifier, const std::filesystem::path& path, const DataParts& data,
                       const ClassifierTraining& training);

/// The classifier in `file`, or the cached one; if there is none it is trained, which is said on stderr, and cached.
/// `where` receives its path. Throws ShapeError if the file's is for other images.
Classifier find_classifier(Device& device, const DataParts& data, const std::optional<std::string>& file,
                           std::filesystem::path& where);

}  // namespace ganforge
