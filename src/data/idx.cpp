#include <ganforge/data.h>
#include <ganforge/error.h>

#include "src/data/byte_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <new>
#include <stdexcept>

namespace ganforge {
namespace {

struct Idx {
  std::vector<std::int64_t> extents;
  std::vector<std::uint8_t> values;
};

enum class Content { images, labels };

template <class... Args>
[[noreturn]] void fail(const std::filesystem::path& path, std::uint64_t offset, fmt::format_string<Args...> format,
                       Args&&... args) {
  throw FormatError(
      fmt::format("{}: offset {}: {}", path.string(), offset, fmt::format(format, std::forward<Args>(args)...)));
}

/// The IDX magic number: two zeros, the element type (8: unsigned byte), the rank.
int read_rank(ByteSource& source, const std::filesystem::path& path, Content content) {
  const bool images = content == Content::images;
  const char* expected = images ? "IDX images (00 00 08 03, or 04 with channels)" : "IDX labels (00 00 08 01)";
  std::array<std::uint8_t, 4> magic{};
  const std::size_t got = source.read(magic.data(), magic.size());
  if (got < magic.size()) {
    fail(path, got, "{}, expected {}", got == 0 ? "the file is empty" : "the file ends in its header", expected);
  }
  const int rank = magic[3];
  const bool rank_fits = images ? rank == 3 || rank == 4 : rank == 1;
  if (magic[0] == 0 && magic[1] == 0 && magic[2] == 8 && rank_fits) return rank;
  const bool other = magic[0] == 0 && magic[1] == 0 && magic[2] == 8 && (images ? rank == 1 : rank == 3 || rank == 4);
  fail(path, 0, "starts with {:02x}{}, expected {}", fmt::join(magic, " "),
       !other   ? ""
       : images ? " (a file of labels)"
                : " (a file of images)",
       expected);
}

Idx read_file(const std::filesystem::path& path, Content content) {
  ByteSource source(path);
  Idx idx;
  const int rank = read_rank(source, path, content);
  std::uint64_t bytes = 1;
  bool overflow = false;
  for (int axis = 0; axis < rank; ++axis) {
    std::array<std::uint8_t, 4> big_endian{};
    const std::uint64_t at = source.offset();
    const std::size_t got = source.read(big_endian.data(), big_endian.size());
    if (got < big_endian.size()) fail(path, at + got, "the file ends in its header");
    std::uint32_t extent = 0;
    for (std::uint8_t byte : big_endian) extent = extent << 8 | byte;
    if (extent == 0 && axis == 0) {
      fail(path, at, "the file has no {}", content == Content::images ? "images" : "labels");
    }
    if (extent == 0) fail(path, at, "axis {} of the images is empty", axis);
    overflow |= __builtin_mul_overflow(bytes, std::uint64_t{extent}, &bytes);
    idx.extents.push_back(extent);
  }

  const std::uint64_t header = source.offset();
  std::uint64_t whole = 0;
  overflow |= __builtin_add_overflow(header, bytes, &whole);
  const std::string promised = fmt::format("the header promises [{}]", fmt::join(idx.extents, ", "));
  if (overflow || !source.can_hold(whole)) {
    fail(path, header, "{}, more than a file of {} bytes{} can hold: cut short or damaged", promised,
         source.file_size(), source.gzip() ? " (gzip)" : "");
  }
  if (!source.gzip() && source.file_size() > whole) {
    fail(path, whole, "{} bytes follow the last value; {}", source.file_size() - whole, promised);
  }
  // A header that lies must not cost more memory than the file's content.
  constexpr std::uint64_t first_step = 1 << 20;
  while (idx.values.size() < bytes) {
    const std::uint64_t have = idx.values.size();
    const std::uint64_t step = std::min(bytes - have, std::max(first_step, have));
    try {
      idx.values.resize(have + step);
    } catch (const std::exception&) {
      fail(path, source.offset(), "{}: does not fit into memory", promised);
    }
    const std::size_t got = source.read(idx.values.data() + have, step);
    if (got < step) fail(path, source.offset(), "the content ends here, expected {} bytes: {}", whole, promised);
  }
  std::uint8_t extra = 0;
  if (source.read(&extra, 1) != 0) fail(path, whole, "more content follows the last value; {}", promised);
  return idx;
}

}  // namespace

HostDataset read_idx(const std::filesystem::path& images, const std::filesystem::path& labels) {
  Idx idx = read_file(images, Content::images);
  HostDataset data;
  data.name = images.filename().string();
  data.format = "IDX";
  data.count = idx.extents[0];
  data.sample = Shape{idx.extents[1], idx.extents[2], idx.extents.size() == 4 ? idx.extents[3] : 1};
  data.pixels = std::move(idx.values);
  if (labels.empty()) return data;

  const Idx label = read_file(labels, Content::labels);
  if (label.extents[0] != data.count) {
    fail(labels, 4, "{} labels, but {} has {} images", label.extents[0], images.string(), data.count);
  }
  data.labels.assign(label.values.begin(), label.values.end());
  const int classes = 1 + *std::max_element(data.labels.begin(), data.labels.end());
  for (int i = 0; i < classes; ++i) data.classes.push_back(fmt::format("{}", i));
  return data;
}

}  // namespace ganforge
