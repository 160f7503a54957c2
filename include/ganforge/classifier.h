// A small convolutional classifier, trained by ganforge on the data at hand. Its features tell how close generated
// images are to real ones: metrics.h.
#pragma once

#include <ganforge/data.h>
#include <ganforge/metrics.h>
#include <ganforge/nn.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ganforge {

struct ClassifierOptions {
  std::int64_t batch = 128;
  float lr = 2e-3f;        ///< at the beginning; falls to 0 by a cosine
  std::uint64_t seed = 1;  ///< of weights, dropout and the order of the data
};

/// Convolutions 3×3 with batch norm, halved by max pooling down to 7 pixels or fewer, then 128 features and a linear
/// layer.
class Classifier {
 public:
  /// New weights, for images of this shape. Throws ConfigError unless it is [height, width, 1 or 3] with 8 pixels or
  /// more each way, and for fewer than two classes. The device must outlive the classifier.
  Classifier(Device& device, const Shape& sample, std::vector<std::string> classes,
             const ClassifierOptions& options = {});
  /// From a file that save() wrote. Throws FormatError for another.
  static Classifier load(Device& device, const std::filesystem::path& path);

  /// Minimises the cross entropy by Adam. `data` has labels of the same classes. `callback` receives step (from 1),
  /// loss and share of right answers in the batch of every `every`-th step. Stops early, after a whole step, when
  /// `stop` returns true. Throws ShapeError or ConfigError if the data do not fit.
  void train(const Dataset& data, std::int64_t steps,
             const std::function<void(std::int64_t, float, float)>& callback = {}, std::int64_t every = 100,
             const std::function<bool()>& stop = {});

  struct Answers {
    std::vector<std::int32_t> classes;  ///< the likeliest of each image
    Features features;                  ///< what goes into the last layer
  };
  /// Of images of its shape (ShapeError otherwise), without dropout and with the running statistics.
  Answers classify(const HostDataset& images);
  /// Share of the images whose class is their label.
  double accuracy(const HostDataset& images);

  /// One safetensors file, written atomically. `metadata` comes back from metadata() after load().
  void save(const std::filesystem::path& path, std::map<std::string, std::string> metadata = {});
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  const Shape& sample() const { return sample_; }
  const std::vector<std::string>& classes() const { return classes_; }
  std::int64_t parameter_count() const { return trunk_->parameter_count() + head_->parameter_count(); }
  std::string summary() const { return trunk_->summary() + head_->summary(); }

 private:
  Device* device_;
  Shape sample_;
  std::vector<std::string> classes_;
  ClassifierOptions options_;
  std::map<std::string, std::string> metadata_;
  std::unique_ptr<VariableStore> store_;
  std::unique_ptr<Network> trunk_, head_;
  std::unique_ptr<Program> inference_;
};

}  // namespace ganforge
