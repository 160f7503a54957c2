// Data sets on the host and on the device, and images for people.
#pragma once

#include <ganforge/store.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ganforge {

/// Bytes that a vector holds, or something else such as the mapping of a file. Copies share them.
class Bytes {
 public:
  Bytes() = default;
  Bytes(std::vector<std::uint8_t> bytes) {
    const auto held = std::make_shared<const std::vector<std::uint8_t>>(std::move(bytes));
    *this = Bytes(held, *held);
  }
  /// `owner` keeps `bytes` where they are.
  Bytes(std::shared_ptr<const void> owner, std::span<const std::uint8_t> bytes)
      : owner_(std::move(owner)), bytes_(bytes) {}

  const std::shared_ptr<const void>& owner() const { return owner_; }
  const std::uint8_t* data() const { return bytes_.data(); }
  std::size_t size() const { return bytes_.size(); }
  std::uint8_t operator[](std::size_t i) const { return bytes_[i]; }
  const std::uint8_t* begin() const { return bytes_.data(); }
  const std::uint8_t* end() const { return bytes_.data() + bytes_.size(); }
  friend bool operator==(const Bytes& a, const Bytes& b) { return std::ranges::equal(a, b); }

 private:
  std::shared_ptr<const void> owner_;
  std::span<const std::uint8_t> bytes_;
};

/// Images of one size as bytes, sample after sample, each NHWC without N; or samples of numbers.
struct HostDataset {
  std::string name;
  Shape sample;  ///< [height, width, channels]
  std::int64_t count = 0;
  Bytes pixels;
  std::vector<std::int32_t> labels;     ///< one per sample, each < classes.size(); empty: none
  std::vector<std::string> classes;     ///< names; empty if there are no labels
  std::string format = {};              ///< what it was read from, in words
  std::vector<std::string> notes = {};  ///< what was done to the images and a person should know, a line each
  /// uint8: images. float32: `pixels` holds the bytes of float32 numbers, which a step takes as they are; `sample` has
  /// any shape.
  DType type = DType::uint8;
};

/// A mixture of equal, round normal distributions in the plane: a data set whose truth is known.
struct Mixture {
  std::string name;
  std::vector<std::array<float, 2>> centres;
  float sigma;
};
/// ring8: 8 modes on the unit circle, σ 0.01. grid25: 5 × 5 modes at {−4, −2, 0, 2, 4}², σ 0.05. The data of PacGAN
/// (Lin et al., arXiv:1712.04086). Null for another name.
const Mixture* find_mixture(const std::string& name);
/// `count` samples [2], an equal number of each mode (but for the remainder), one mode after the other in turn; a
/// function of the mixture, `count` and `seed`.
HostDataset sample_mixture(const Mixture& mixture, std::int64_t count, std::uint64_t seed);

/// What is wanted of a data set. Height and width go together.
struct DatasetOptions {
  bool train = true;  ///< the part for training, where there is one for testing too
  /// Images of a folder are cropped to this shape around their centre, then resized. 0: they must all have one size.
  std::int64_t height = 0, width = 0;
  /// 1 or 3. Of an image folder 0 means 3 if any image has a colour that is not grey, else 1.
  std::int64_t channels = 0;
  bool convert = false;   ///< height, width and channels hold for every format, not for image folders alone
  bool skip_bad = false;  ///< leaves out the images of a folder that cannot be read, and notes it
  std::function<void(std::int64_t done, std::int64_t total)> progress = {};  ///< called while images are decoded
};

/// Reads the format of MNIST: unsigned bytes of rank 3 [count, height, width] or 4 [count, height, width, channels],
/// and labels of rank 1 where given. Either file may be gzip, told by its content. Classes are named by their number.
/// Throws FormatError, with path and offset, for anything but two whole, matching files.
HostDataset read_idx(const std::filesystem::path& images, const std::filesystem::path& labels = {});

/// PNG, JPEG and WebP files, told by their content, in byte order of their paths. Images in sub-folders (at any depth)
/// belong to the class of the sub-folder's name, classes in byte order; images in the folder itself have no labels.
/// Hidden files and folders are passed over. 16-bit values are divided by 257, transparency is blended over white, CMYK
/// is converted, the EXIF orientation of a JPEG is applied; notes say which of that was done, and to how many. Colour
/// becomes grey by ITU-R BT.601. Throws FormatError if images lie both beside and in sub-folders, if there are none, or
/// if one cannot be read (names it and counts the others; see skip_bad).
HostDataset read_image_folder(const std::filesystem::path& folder, const DatasetOptions& options = {});

/// The binary version of CIFAR-10: a file of 3073-byte records, or a folder with data_batch_*.bin or, unless `train`,
/// test_batch.bin. Classes are named by batches.meta.txt beside them, else by their number. Throws FormatError with
/// path and offset.
HostDataset read_cifar10(const std::filesystem::path& path, bool train = true);

/// A NumPy file: uint8 [count, height, width] or [count, height, width, channels], not in Fortran order. Throws
/// FormatError with the path for anything else.
HostDataset read_npy_images(const std::filesystem::path& path);

/// A data set in one file (.gfd), which is mapped and not read. The file must not be changed while its data are in use.
/// docs/packed.md describes the format. Throws FormatError with the path unless header and size of the file agree.
HostDataset read_packed(const std::filesystem::path& path);
/// The file appears whole or not at all. Throws FormatError if it cannot be written, ShapeError if `data` are not what
/// they say.
void write_packed(const std::filesystem::path& path, const HostDataset& data);

/// A data set by name ("fashion-mnist", "mnist", "cifar-10"; "ring8" and "grid25": 100,000 samples of the mixture; "stacked:"
/// and a name or path of grey images with labels: 128,000 images, each channel one of them, Stacked-MNIST), or
/// from a path: a file that read_idx(), read_cifar10(),
/// read_npy_images() or read_packed() reads, or a folder of images, or with data_batch_*.bin and test_batch.bin, or
/// with
///
///   train-images-idx3-ubyte[.gz]  train-labels-idx1-ubyte[.gz]
///   t10k-images-idx3-ubyte[.gz]   t10k-labels-idx1-ubyte[.gz]
///
/// A name is looked for in $GANFORGE_DATA/<name>, ./data/<name>, ~/.cache/ganforge/<name>, /usr/share/datasets/<name>.
/// Labels may be missing in a folder given by path; an IDX file's are found beside it by the same naming. Throws
/// FormatError that says where the files belong, ConfigError for options out of range.
HostDataset find_dataset(const std::string& name_or_path, const DatasetOptions& options = {});
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

/// Points in the plane, as a square picture of `size` pixels: `real` in grey under `generated` in colour. Each is x, y,
/// x, y, …; the picture shows all of `real`, or of `generated` if that is empty, with a margin.
Image make_scatter(std::span<const float> real, std::span<const float> generated, int size = 600);

/// Where the samples of a data set are while a GPU trains on them. The results are the same bits. (The CPU uses them
/// where they lie, and so reads a packed file from the page cache.)
enum class Residency {
  automatic,  ///< on the device if they take at most half of its free memory, else on the host
  device,
  host  ///< streamed: each batch is copied to the device while the step before it runs
};

/// Samples for a device, images as bytes. Labels (4 bytes a sample) are always on the device.
class Dataset {
 public:
  /// Throws DeviceError if what shall be on the device does not fit.
  Dataset(Device& device, HostDataset data, Residency residency = Residency::automatic);

  const std::string& name() const { return name_; }
  std::int64_t count() const { return count_; }
  /// Shape of one sample: [H, W, C] for images.
  const Shape& sample() const { return sample_; }
  const std::vector<std::string>& classes() const { return classes_; }
  bool has_labels() const { return labels_ != nullptr; }
  /// True if the samples stay on the host of a GPU.
  bool streamed() const { return images_ == nullptr; }
  /// uint8 [count, …]. Throws DeviceError if streamed().
  Variable& images() const;
  /// int32 [count]; only if has_labels()
  Variable& labels() const { return *labels_; }
  /// The samples on the host if streamed(), else empty.
  const Bytes& host_pixels() const { return host_pixels_; }

 private:
  std::string name_;
  Shape sample_;
  std::int64_t count_;
  Bytes host_pixels_;
  std::vector<std::string> classes_;
  std::unique_ptr<Variable> images_, labels_;
};
/// find_dataset() of data.h, on a device.
Dataset load_dataset(const std::string& name_or_path, Device& device, Residency residency = Residency::automatic);

}  // namespace ganforge
