// Format: https://www.cs.toronto.edu/~kriz/cifar.html, binary version: records of a label and 32×32 reds, greens,
// blues.
#include <ganforge/data.h>
#include <ganforge/error.h>

#include "src/data/byte_source.h"
#include "src/data/cifar.h"
#include "src/data/image_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

namespace ganforge {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t side = 32, plane = side * side;
constexpr std::uint64_t record_bytes = 1 + 3 * plane;
constexpr std::uint8_t max_classes = 10;

/// The lines of batches.meta.txt; none if it is not there.
std::vector<std::string> class_names(const fs::path& folder) {
  std::ifstream file(folder / "batches.meta.txt");
  std::vector<std::string> names;
  for (std::string line; names.size() < max_classes && std::getline(file, line);) {
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) names.push_back(line);
  }
  return names;
}

void add_file(const fs::path& path, std::vector<std::uint8_t>& pixels, std::vector<std::int32_t>& labels) {
  InputFile file(path);
  if (file.size() == 0 || file.size() % record_bytes != 0)
    throw FormatError(fmt::format("{}: {} bytes are not a whole number of CIFAR-10's records of {}", path.string(),
                                  file.size(), record_bytes));
  const std::uint64_t count = file.size() / record_bytes;
  pixels.reserve(pixels.size() + count * 3 * plane);
  std::vector<std::uint8_t> record(record_bytes);
  for (std::uint64_t i = 0; i < count; ++i) {
    if (file.read(record.data(), record.size()) != record.size())
      throw FormatError(
          fmt::format("{}: offset {}: the file was cut short while it was read", path.string(), i * record_bytes));
    if (record[0] >= max_classes)
      throw FormatError(fmt::format("{}: offset {}: label {}, but CIFAR-10 has classes 0 to {}", path.string(),
                                    i * record_bytes, record[0], max_classes - 1));
    labels.push_back(record[0]);
    for (std::int64_t at = 0; at < plane; ++at)
      for (std::int64_t c = 0; c < 3; ++c) pixels.push_back(record[static_cast<std::size_t>(1 + c * plane + at)]);
  }
}

/// data_batch_*.bin or test_batch.bin, in byte order.
std::vector<fs::path> batches(const fs::path& folder, bool train) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (train ? name.starts_with("data_batch_") && name.ends_with(".bin") : name == "test_batch.bin")
      files.push_back(entry.path());
  }
  if (error) throw FormatError(fmt::format("cannot look into {}: {}", folder.string(), error.message()));
  std::ranges::sort(files);
  return files;
}

}  // namespace

fs::path cifar10_folder(const fs::path& folder) {
  std::error_code error;
  for (const fs::path& place : {folder, folder / "cifar-10-batches-bin"})
    if (fs::is_directory(place, error) && (!batches(place, true).empty() || !batches(place, false).empty()))
      return place;
  return {};
}

bool is_cifar10_file(const fs::path& path) {
  std::error_code error;
  return path.extension() == ".bin" && fs::file_size(path, error) % record_bytes == 0 && !error;
}

HostDataset read_cifar10(const fs::path& path, bool train) {
  std::error_code error;
  const bool folder = fs::is_directory(path, error);
  const fs::path place = folder ? cifar10_folder(path) : path.parent_path();
  const char* const wanted = train ? "data_batch_*.bin" : "test_batch.bin";
  const std::vector<fs::path> files = !folder         ? std::vector<fs::path>{path}
                                      : place.empty() ? std::vector<fs::path>{}
                                                      : batches(place, train);
  if (files.empty()) throw FormatError(fmt::format("{}: no {} in this folder", path.string(), wanted));

  HostDataset data;
  data.name = folder ? folder_name(path) : path.filename().string();
  data.format = "CIFAR-10 binary";
  data.sample = Shape{side, side, 3};
  std::vector<std::uint8_t> pixels;
  for (const fs::path& file : files) add_file(file, pixels, data.labels);
  data.pixels = std::move(pixels);
  data.count = static_cast<std::int64_t>(data.labels.size());
  data.classes = class_names(place);
  const int classes = 1 + *std::ranges::max_element(data.labels);
  for (int i = static_cast<int>(data.classes.size()); i < classes; ++i) data.classes.push_back(fmt::format("{}", i));
  constexpr std::size_t whole = 5;
  if (folder && train && files.size() < whole)
    data.notes.push_back(fmt::format("only {} of the {} training files of CIFAR-10 are there", files.size(), whole));
  return data;
}

}  // namespace ganforge
