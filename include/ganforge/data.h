// Data sets on the host and on the device, and images for people.
#pragma once

#include <ganforge/store.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ganforge {

/// Images of one size as bytes, sample after sample, each NHWC without N.
struct HostDataset {
  std::string name;
  Shape sample;  ///< [height, width, channels]
  std::int64_t count = 0;
  std::vector<std::uint8_t> pixels;
  std::vector<std::int32_t> labels;  ///< one per sample, each < classes.size(); empty: none
  std::vector<std::string> classes;  ///< names; empty if there are no labels
};

/// Reads the format of MNIST: unsigned bytes of rank 3 [count, height, width] or 4 [count, height, width, channels],
/// and labels of rank 1 where given. Either file may be gzip, told by its content. Classes are named by their number.
/// Throws FormatError, with path and offset, for anything but two whole, matching files.
HostDataset read_idx(const std::filesystem::path& images, const std::filesystem::path& labels = {});

/// A data set by name ("fashion-mnist", "mnist"), or from a path: an IDX file of images, or a folder with
///
///   train-images-idx3-ubyte[.gz]  train-labels-idx1-ubyte[.gz]
///   t10k-images-idx3-ubyte[.gz]   t10k-labels-idx1-ubyte[.gz]
///
/// A name is looked for in $GANFORGE_DATA/<name>, ./data/<name>, ~/.cache/ganforge/<name>, /usr/share/datasets/<name>.
/// Labels may be missing in a folder given by path; an IDX file's are found beside it by the same naming. `train`
/// chooses train- or t10k- in a folder. Throws FormatError that says where the files belong.
HostDataset find_dataset(const std::string& name_or_path, bool train = true);
/// The names that find_dataset() knows.
std::vector<std::string> dataset_names();

/// Rows from the top, channels interleaved.
struct Image {
  int width = 0, height = 0, channels = 0;
  std::vector<std::uint8_t> pixels;
};

/// 8-bit grey (1 channel) or RGB (3). The file appears whole or not at all. Throws FormatError if it cannot be written,
/// ShapeError if `image` is not what it says.
void write_png(const std::filesystem::path& path, const Image& image);

/// Samples in rows of `columns` (0: about square), with a border, enlarged by a whole factor until the longer side has
/// 500 pixels or more. A value x becomes round(255·(x − low)/(high − low)), clamped; NaN becomes 0. `sample` is
/// [height, width, channels] with 1 or 3 channels. Throws ShapeError, or ConfigError unless low < high.
Image make_grid(std::span<const float> samples, const Shape& sample, float low, float high, int columns = 0);

/// Samples resident on a device as bytes.
class Dataset {
 public:
  /// Throws DeviceError if they do not fit.
  Dataset(Device& device, HostDataset data);

  const std::string& name() const { return name_; }
  std::int64_t count() const { return images_->type.shape[0]; }
  /// Shape of one sample: [H, W, C] for images.
  const Shape& sample() const { return sample_; }
  const std::vector<std::string>& classes() const { return classes_; }
  bool has_labels() const { return labels_ != nullptr; }
  Variable& images() const { return *images_; }
  Variable& labels() const { return *labels_; }

 private:
  std::string name_;
  Shape sample_;
  std::vector<std::string> classes_;
  std::unique_ptr<Variable> images_, labels_;
};
/// find_dataset() of data.h, on a device.
Dataset load_dataset(const std::string& name_or_path, Device& device);

}  // namespace ganforge
