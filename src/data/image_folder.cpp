#include "src/data/image_folder.h"

#include <ganforge/error.h>

#include "src/data/byte_source.h"
#include "src/data/resize.h"

#include <fmt/format.h>

#include <exception>
#include <utility>

namespace ganforge {
namespace {

namespace fs = std::filesystem;

Decoded read_image(const fs::path& path) {
  InputFile file(path);
  std::vector<std::uint8_t> bytes;
  try {
    bytes.resize(file.size());
  } catch (const std::exception&) {
    throw FormatError(fmt::format("{}: {} bytes do not fit into memory", path.string(), file.size()));
  }
  bytes.resize(file.read(bytes.data(), bytes.size()));
  return decode_image(bytes, path.string());
}

/// How often something was done, and the line that says so.
struct Count {
  const char* what;
  std::int64_t images = 0;
};

void add_notes(std::span<const Count> counts, std::vector<std::string>& notes) {
  for (const Count& count : counts)
    if (count.images > 0) notes.push_back(fmt::format("{}: {}", counted(count.images, "image"), count.what));
}

/// Collects samples of one size; grey until a colour comes.
class Collector {
 public:
  Collector(const ImageFiles& files, const DatasetOptions& options)
      : files_(files), options_(options), height_(options.height), width_(options.width), channels_(options.channels) {}

  void add(std::size_t index, Image image) {
    if (height_ == 0) {
      height_ = image.height;
      width_ = image.width;
      first_ = index;
    }
    const bool grey = is_grey(image);
    grey_ += grey;
    if (channels_ == 0 || (options_.channels == 0 && channels_ == 1 && !grey)) set_channels(grey ? 1 : 3);
    if (options_.height == 0 && (image.height != height_ || image.width != width_))
      throw FormatError(fmt::format(
          "{} has {}×{} pixels (width × height), but {} {}×{}: say which size the images shall "
          "have (--size)",
          files_.paths[index].string(), image.width, image.height, files_.paths[first_].string(), width_, height_));
    cropped_ += image.width * height_ != image.height * width_;
    enlarged_ += image.width < width_ || image.height < height_;
    image = crop_and_resize(with_channels(std::move(image), static_cast<int>(channels_)), height_, width_);
    if (count_ == 0) pixels_.reserve(files_.paths.size() * image.pixels.size());
    pixels_.insert(pixels_.end(), image.pixels.begin(), image.pixels.end());
    if (!files_.labels.empty()) labels_.push_back(files_.labels[index]);
    ++count_;
  }

  HostDataset finish(const std::vector<std::string>& decoding_notes) {
    HostDataset data;
    data.name = folder_name(files_.folder);
    data.format = "image folder";
    data.sample = Shape{height_, width_, channels_};
    data.count = count_;
    data.pixels = std::move(pixels_);
    data.labels = std::move(labels_);
    data.classes = files_.classes;
    data.notes = files_.notes;
    data.notes.insert(data.notes.end(), decoding_notes.begin(), decoding_notes.end());
    const Count counts[] = {{"cropped around the centre", cropped_},
                            {"smaller than wanted, and enlarged", enlarged_},
                            {"grey, repeated into three channels", channels_ == 3 ? grey_ : 0},
                            {"colour, made grey", channels_ == 1 ? count_ - grey_ : 0}};
    add_notes(counts, data.notes);
    return data;
  }

 private:
  void set_channels(std::int64_t channels) {
    if (channels_ == 1 && channels == 3) {
      std::vector<std::uint8_t> colour;
      colour.reserve(3 * files_.paths.size() * static_cast<std::size_t>(height_ * width_));
      for (std::uint8_t grey : pixels_) colour.insert(colour.end(), 3, grey);
      pixels_ = std::move(colour);
    }
    channels_ = channels;
  }

  const ImageFiles& files_;
  const DatasetOptions& options_;
  std::int64_t height_, width_, channels_;
  std::int64_t count_ = 0, grey_ = 0, cropped_ = 0, enlarged_ = 0;
  std::size_t first_ = 0;
  std::vector<std::uint8_t> pixels_;
  std::vector<std::int32_t> labels_;
};

}  // namespace

std::vector<std::string> decode_all(const ImageFiles& files, const DatasetOptions& options,
                                    const std::function<void(std::size_t, Decoded)>& use) {
  Count sixteen{"16-bit values divided by 257"}, blended{"transparency blended over white"},
      cmyk{"CMYK converted to RGB, without colour profiles"}, turned{"turned as their EXIF orientation says"};
  const auto total = static_cast<std::int64_t>(files.paths.size());
  std::int64_t bad = 0;
  std::string first_bad;
  for (std::size_t i = 0; i < files.paths.size(); ++i) {
    Decoded decoded;
    bool good = true;
    try {
      decoded = read_image(files.paths[i]);
    } catch (const FormatError& error) {
      good = false;
      if (++bad == 1) first_bad = error.what();
    }
    if (good) {
      sixteen.images += decoded.sixteen_bit;
      blended.images += decoded.blended;
      cmyk.images += decoded.cmyk;
      turned.images += decoded.turned;
      // After the first that is bad the rest is only counted.
      if (bad == 0 || options.skip_bad) use(i, std::move(decoded));
    }
    if (options.progress) options.progress(static_cast<std::int64_t>(i) + 1, total);
  }
  if (bad == total && total > 1)
    throw FormatError(
        fmt::format("{}; none of the other {} can be read either", first_bad, counted(total - 1, "image")));
  if (bad == total) throw FormatError(fmt::format("{}; there is no other image", first_bad));
  if (bad > 0 && !options.skip_bad)
    throw FormatError(fmt::format("{}; {} of {} cannot be read; --skip-bad goes on without", first_bad, bad,
                                  counted(total, "image")));
  std::vector<std::string> notes;
  const Count counts[] = {sixteen, blended, cmyk, turned};
  add_notes(counts, notes);
  if (bad > 0)
    notes.push_back(
        fmt::format("{} left out that cannot be read: {}{}", counted(bad, "image"), first_bad, bad > 1 ? ", …" : ""));
  return notes;
}

HostDataset read_images(const ImageFiles& files, const DatasetOptions& options) {
  check_options(options);
  Collector collector(files, options);
  const std::vector<std::string> notes =
      decode_all(files, options, [&](std::size_t i, Decoded decoded) { collector.add(i, std::move(decoded.image)); });
  return collector.finish(notes);
}

HostDataset read_image_folder(const fs::path& folder, const DatasetOptions& options) {
  const ImageFiles files = list_images(folder);
  if (files.paths.empty())
    throw FormatError(fmt::format("{}: no PNG, JPEG or WebP image in it or its sub-folders", folder.string()));
  return read_images(files, options);
}

}  // namespace ganforge
