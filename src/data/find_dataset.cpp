#include <ganforge/data.h>
#include <ganforge/error.h>

#include "src/core/nearest.h"
#include "src/data/byte_source.h"
#include "src/data/cifar.h"
#include "src/data/find_dataset.h"
#include "src/data/resize.h"
#include "src/data/stacked.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cstdlib>
#include <string_view>
#include <system_error>

namespace ganforge {
namespace {

namespace fs = std::filesystem;

struct Known {
  std::string name;
  std::string hint;  // the quickest way to get it
  std::vector<std::string> classes;
};

const std::vector<Known>& known_datasets() {
  static const std::vector<Known> known = {
      {"fashion-mnist",
       "on Debian and Ubuntu `apt-get install dataset-fashion-mnist` does that",
       {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"}},
      {"mnist",
       "they are published as four .gz files, which can stay as they are",
       {"0", "1", "2", "3", "4", "5", "6", "7", "8", "9"}},
      {"cifar-10",
       "they are published as cifar-10-binary.tar.gz, which is unpacked there",
       {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"}},
  };
  return known;
}

const Known* find_known(const std::string& name) {
  for (const Known& known : known_datasets()) {
    if (known.name == name) return &known;
  }
  return nullptr;
}

bool is_there(const fs::path& path) {
  std::error_code error;
  const bool found = fs::exists(path, error);
  if (error) throw FormatError(fmt::format("cannot look for {}: {}", path.string(), error.message()));
  return found;
}

/// `folder`/`file`, plain or gzip; empty if there is neither.
fs::path find_file(const fs::path& folder, const std::string& file) {
  for (const char* suffix : {"", ".gz"}) {
    const fs::path path = folder / (file + suffix);
    if (is_there(path)) return path;
  }
  return {};
}

std::string file_name(const char* content, bool train) {
  return fmt::format("{}-{}-ubyte", train ? "train" : "t10k", content);
}

std::string joined(const std::vector<fs::path>& paths) {
  std::vector<std::string> texts;
  for (const fs::path& path : paths) texts.push_back(path.string());
  return fmt::format("{}", fmt::join(texts, ", "));
}

std::vector<fs::path> folders_of(const std::string& name) {
  std::vector<fs::path> folders;
  if (const char* root = std::getenv("GANFORGE_DATA"); root && *root) folders.push_back(fs::path(root) / name);
  folders.push_back(fs::path("data") / name);
  if (const char* home = std::getenv("HOME"); home && *home)
    folders.push_back(fs::path(home) / ".cache/ganforge" / name);
  folders.push_back(fs::path("/usr/share/datasets") / name);
  return folders;
}

/// Names the classes of a data set that is known.
HostDataset read_named(const std::string& name, const fs::path& images, const fs::path& labels) {
  HostDataset data = read_idx(images, labels);
  data.name = name;
  const Known* known = find_known(name);
  if (!known || data.labels.empty()) return data;
  if (data.classes.size() > known->classes.size()) {
    throw FormatError(fmt::format("{}: a label is {}, but {} has {} classes", labels.string(), data.classes.size() - 1,
                                  name, known->classes.size()));
  }
  data.classes = known->classes;
  return data;
}

HostDataset idx_from_name(const Known& known, bool train) {
  const std::string images = file_name("images-idx3", train), labels = file_name("labels-idx1", train);
  const std::vector<fs::path> folders = folders_of(known.name);
  for (const fs::path& folder : folders) {
    const fs::path image_file = find_file(folder, images);
    if (image_file.empty()) continue;
    const fs::path label_file = find_file(folder, labels);
    if (label_file.empty())
      throw FormatError(fmt::format("{} is there, but no {}[.gz] beside it", image_file.string(), labels));
    return read_named(known.name, image_file, label_file);
  }
  throw FormatError(fmt::format("data set '{}' is not on this machine: put {}[.gz] and {}[.gz] into one of {}; {}",
                                known.name, images, labels, joined(folders), known.hint));
}

HostDataset cifar_from_name(const Known& known, bool train) {
  const std::vector<fs::path> folders = folders_of(known.name);
  for (const fs::path& folder : folders) {
    if (cifar10_folder(folder).empty()) continue;
    HostDataset data = read_cifar10(folder, train);
    data.name = known.name;
    data.classes = known.classes;
    return data;
  }
  throw FormatError(
      fmt::format("data set '{}' is not on this machine: put data_batch_1.bin to data_batch_5.bin and "
                  "test_batch.bin into one of {}; {}",
                  known.name, joined(folders), known.hint));
}

HostDataset from_folder(const fs::path& folder, const DatasetOptions& options) {
  const std::string images = file_name("images-idx3", options.train);
  const fs::path image_file = find_file(folder, images);
  if (!image_file.empty())
    return read_named(folder_name(folder), image_file, find_file(folder, file_name("labels-idx1", options.train)));
  if (!cifar10_folder(folder).empty()) return read_cifar10(folder, options.train);
  // A folder with the other part of MNIST holds no image files either.
  const ImageFiles files = list_images(folder);
  if (!files.paths.empty()) return read_images(files, options);
  throw FormatError(
      fmt::format("{}: no {}[.gz] in this folder, no {}, and no PNG, JPEG or WebP image in it or its sub-folders",
                  folder.string(), images, options.train ? "data_batch_*.bin" : "test_batch.bin"));
}

HostDataset idx_from_file(const fs::path& images) {
  std::string stem = images.filename().string();
  if (stem.ends_with(".gz")) stem.resize(stem.size() - 3);
  fs::path labels;
  const std::string part = "images-idx3";
  if (const std::size_t at = stem.find(part); at != std::string::npos) {
    std::string label_stem = stem;
    labels = find_file(images.parent_path(), label_stem.replace(at, part.size(), "labels-idx1"));
  }
  return read_named(stem, images, labels);
}

HostDataset from_file(const fs::path& path) {
  std::array<char, 12> bytes{};
  const std::size_t got = InputFile(path).read(bytes.data(), bytes.size());
  const std::string_view begin(bytes.data(), got);
  if (begin.starts_with("\x89GFD")) return read_packed(path);
  if (begin.starts_with("\x93NUMPY")) return read_npy_images(path);
  if (image_format({reinterpret_cast<const std::uint8_t*>(bytes.data()), got}) != ImageFormat::none)
    throw FormatError(fmt::format("{} is one image; give the folder that holds the images", path.string()));
  if (is_cifar10_file(path)) return read_cifar10(path);
  return idx_from_file(path);
}

HostDataset find(const std::string& name_or_path, const DatasetOptions& options) {
  if (const auto grey = stacked_from(name_or_path))
    return stack(find(*grey, options), options.train ? 128'000 : 26'000, options.train ? 0 : 1);
  if (const Mixture* mixture = find_mixture(name_or_path))
    return sample_mixture(*mixture, options.train ? 100'000 : 2'500, options.train ? 0 : 1);
  if (const Known* known = find_known(name_or_path))
    return known->name == "cifar-10" ? cifar_from_name(*known, options.train) : idx_from_name(*known, options.train);
  const fs::path path = name_or_path;
  if (!name_or_path.empty() && is_there(path)) {
    std::error_code error;
    return fs::is_directory(path, error) ? from_folder(path, options) : from_file(path);
  }
  if (name_or_path.find('/') != std::string::npos)
    throw FormatError(fmt::format("{}: no such file or folder", name_or_path));

  const std::vector<std::string> names = dataset_names();
  const std::string guess = nearest(name_or_path, names);
  throw FormatError(fmt::format(
      "no data set '{}'{}; known are {}; or give the path of a folder of images, or of an IDX, CIFAR-10, NPY or .gfd "
      "file",
      name_or_path, guess.empty() ? "" : fmt::format(" (did you mean {}?)", guess), fmt::join(names, ", ")));
}

}  // namespace

std::vector<std::string> dataset_names() {
  std::vector<std::string> names;
  for (const Known& known : known_datasets()) names.push_back(known.name);
  names.insert(names.end(), {"ring8", "grid25"});
  return names;
}

HostDataset find_dataset(const std::string& name_or_path, const DatasetOptions& options) {
  check_options(options);
  if (options.convert && find_mixture(name_or_path))
    throw FormatError(fmt::format("{} is a mixture of points in the plane: there are no images in it", name_or_path));
  HostDataset data = find(name_or_path, options);
  return options.convert ? converted(std::move(data), options) : data;
}

std::optional<ImageFiles> image_files_at(const std::string& name_or_path) {
  std::error_code error;
  const fs::path path = name_or_path;
  if (find_known(name_or_path) || !fs::is_directory(path, error)) return std::nullopt;
  for (bool train : {true, false})
    if (!find_file(path, file_name("images-idx3", train)).empty()) return std::nullopt;
  if (!cifar10_folder(path).empty()) return std::nullopt;
  ImageFiles files = list_images(path);
  if (files.paths.empty()) return std::nullopt;
  return files;
}

}  // namespace ganforge
