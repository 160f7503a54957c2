#include "src/cli/labelled_set.h"

#include "src/data/npz.h"
#include "src/gan/sample_images.h"

#include <ganforge/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <system_error>

namespace ganforge {
namespace {

namespace fs = std::filesystem;

/// A name of a folder that is read as the same class again where that can be.
std::string folder_name(std::string name) {
  std::ranges::replace(name, '/', '-');
  if (name.empty() || name.front() == '.') name.insert(0, "_");  // hidden ones are passed over
  return name;
}

void make_folder(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) throw FormatError(fmt::format("cannot make the folder {}: {}", path.string(), error.message()));
}

/// Bytes of `count` samples of a class, its latents none of another class.
Bytes pixels_of_class(Trainer& trainer, std::int64_t label, std::int64_t count, std::uint64_t seed) {
  const auto n = static_cast<std::size_t>(count);
  SampleOptions wanted{.seed = seed};
  wanted.labels.assign(n, static_cast<std::int32_t>(label));
  wanted.latents.resize(n);
  std::iota(wanted.latents.begin(), wanted.latents.end(), label * count);
  return to_images(trainer.sample(count, wanted), "the samples").pixels;
}

}  // namespace

void write_labelled_set(const fs::path& path, Trainer& trainer, std::int64_t per_class, std::uint64_t seed) {
  const std::vector<std::string>& classes = trainer.classes();
  const Shape sample(trainer.generator().output_shape().extents().subspan(1));
  if (sample.rank() != 3 || (sample[2] != 1 && sample[2] != 3))
    throw ConfigError(fmt::format("a labelled set is of images, but the model makes samples {}", sample.str()));
  const auto bytes = static_cast<std::size_t>(sample.elements());
  if (path.extension() == ".npz") {
    std::vector<std::uint8_t> x;
    std::vector<std::int32_t> y;
    for (std::int64_t c = 0; c < std::ssize(classes); ++c) {
      const Bytes pixels = pixels_of_class(trainer, c, per_class, seed);
      x.insert(x.end(), pixels.begin(), pixels.end());
      y.insert(y.end(), static_cast<std::size_t>(per_class), static_cast<std::int32_t>(c));
    }
    const std::int64_t n = std::ssize(y);
    const Shape shape = sample[2] == 1 ? Shape{n, sample[0], sample[1]} : Shape{n, sample[0], sample[1], sample[2]};
    const NpzArray arrays[] = {{"x_train", {DType::uint8, shape}, x.data()},
                               {"y_train", {DType::int32, {n}}, y.data()}};
    write_npz(path, arrays);
    return;
  }
  std::error_code error;
  if (fs::exists(path, error) && (!fs::is_directory(path, error) || !fs::is_empty(path, error)))
    throw FormatError(fmt::format("{}: is not a new or an empty folder", path.string()));
  for (std::int64_t c = 0; c < std::ssize(classes); ++c) {
    const fs::path folder = path / folder_name(classes[static_cast<std::size_t>(c)]);
    make_folder(folder);
    const Bytes pixels = pixels_of_class(trainer, c, per_class, seed);
    for (std::int64_t i = 0; i < per_class; ++i) {
      const std::uint8_t* begin = pixels.data() + static_cast<std::size_t>(i) * bytes;
      write_png(folder / fmt::format("{:06}.png", i), {static_cast<int>(sample[1]),
                                                       static_cast<int>(sample[0]),
                                                       static_cast<int>(sample[2]),
                                                       {begin, begin + bytes}});
    }
  }
}

}  // namespace ganforge
