// Format: docs/packed.md.
#include <ganforge/data.h>
#include <ganforge/error.h>

#include "src/data/atomic_file.h"
#include "src/data/mapped_file.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>

namespace ganforge {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

// Not text, so that a transfer as text is seen, as in PNG.
constexpr std::string_view magic("\x89GFD\r\n\x1a\n", 8);
constexpr std::uint32_t version = 1;
constexpr std::size_t alignment = 64;
constexpr std::int64_t max_extent = std::int64_t{1} << 40;  // of any axis: products are checked besides

/// What stands before the header.
struct Opening {
  char magic[8];
  std::uint32_t version, header_bytes, header_crc, zero;
};
static_assert(sizeof(Opening) == 24);

std::size_t aligned(std::size_t bytes) {
  return (bytes + alignment - 1) / alignment * alignment;
}

std::uint32_t crc_of(const char* bytes, std::size_t count) {
  return static_cast<std::uint32_t>(crc32_z(crc32_z(0, nullptr, 0), reinterpret_cast<const Bytef*>(bytes), count));
}

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : path_(path), file_(MappedFile::open(path)) {}

  HostDataset read() {
    const nlohmann::json header = parse(find_header());
    HostDataset data;
    data.format = "packed";
    data.name = member(header, "name", &nlohmann::json::is_string).get<std::string>();
    data.classes = texts(header, "classes");
    data.notes = texts(header, "notes");
    const std::vector<std::int64_t> shape = read_shape(header);
    data.count = shape[0];
    data.sample = Shape(std::span(shape).subspan(1));

    const std::size_t count = static_cast<std::size_t>(data.count);
    const std::size_t labels_at = aligned(header_end_), label_bytes = data.classes.empty() ? 0 : 4 * count;
    const std::size_t pixels_at = aligned(labels_at + label_bytes);
    expect(header, "labels_offset", data.classes.empty() ? 0 : labels_at);
    expect(header, "pixels_offset", pixels_at);
    // No overflow: the product was found to be at most the size of the file.
    const std::size_t size = file_->bytes().size(), pixels = count * static_cast<std::size_t>(data.sample.elements());
    if (size != pixels_at + pixels)
      fail("{} bytes, but the header promises {}: cut short or damaged", size, pixels_at + pixels);
    if (label_bytes > 0) read_labels(data, labels_at);
    data.pixels = Bytes(file_, file_->bytes().subspan(pixels_at));
    return data;
  }

 private:
  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    throw FormatError(fmt::format("{}: {}", path_.string(), fmt::format(format, std::forward<Args>(args)...)));
  }

  std::string_view find_header() {
    const std::span<const std::uint8_t> bytes = file_->bytes();
    Opening opening;
    if (bytes.size() < sizeof opening) fail("{} bytes are no packed data set: cut short?", bytes.size());
    std::memcpy(&opening, bytes.data(), sizeof opening);
    if (std::string_view(opening.magic, magic.size()) != magic) fail("not a packed data set, or damaged");
    if (opening.version != version) fail("version {} of the format, this program reads {}", opening.version, version);
    if (opening.zero != 0) fail("offset 20: damaged");
    if (opening.header_bytes > bytes.size() - sizeof opening)
      fail("a header of {} bytes in a file of {}: cut short or damaged", opening.header_bytes, bytes.size());
    header_end_ = sizeof opening + opening.header_bytes;
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + sizeof opening, opening.header_bytes);
    if (crc_of(text.data(), text.size()) != opening.header_crc) fail("the header does not match its checksum: damaged");
    return text;
  }

  nlohmann::json parse(std::string_view text) const {
    nlohmann::json header = nlohmann::json::parse(text, nullptr, false);
    if (!header.is_object()) fail("the header is not a JSON object");
    return header;
  }

  const nlohmann::json& member(const nlohmann::json& header, const char* key,
                               bool (nlohmann::json::*is)() const noexcept) const {
    const auto found = header.find(key);
    if (found == header.end() || !((*found).*is)()) fail("the header has no proper '{}'", key);
    return *found;
  }

  std::vector<std::string> texts(const nlohmann::json& header, const char* key) const {
    std::vector<std::string> all;
    for (const nlohmann::json& text : member(header, key, &nlohmann::json::is_array)) {
      if (!text.is_string()) fail("the header has no proper '{}'", key);
      all.push_back(text.get<std::string>());
    }
    return all;
  }

  /// [count, height, width, channels], all in all at most the bytes of the file.
  std::vector<std::int64_t> read_shape(const nlohmann::json& header) const {
    std::vector<std::int64_t> shape;
    std::uint64_t product = 1;
    for (const nlohmann::json& extent : member(header, "shape", &nlohmann::json::is_array)) {
      if (!extent.is_number_unsigned() || extent.get<std::uint64_t>() < 1 || extent.get<std::uint64_t>() > max_extent ||
          shape.size() == 4 || __builtin_mul_overflow(product, extent.get<std::uint64_t>(), &product))
        fail("the header has no proper 'shape'");
      shape.push_back(extent.get<std::int64_t>());
    }
    if (shape.size() != 4) fail("the header's shape has {} extents, expected 4", shape.size());
    if (product > file_->bytes().size())
      fail("{} bytes of pixels in a file of {}: cut short or damaged", product, file_->bytes().size());
    return shape;
  }

  void expect(const nlohmann::json& header, const char* key, std::size_t wanted) const {
    const nlohmann::json& value = member(header, key, &nlohmann::json::is_number_unsigned);
    if (value.get<std::uint64_t>() != wanted) fail("the header's {} is {}, expected {}", key, value.dump(), wanted);
  }

  void read_labels(HostDataset& data, std::size_t at) const {
    data.labels.resize(static_cast<std::size_t>(data.count));
    const std::size_t bytes = 4 * data.labels.size();
    if (at + bytes > file_->bytes().size()) fail("the file ends in its labels");
    std::memcpy(data.labels.data(), file_->bytes().data() + at, bytes);
    for (std::size_t i = 0; i < data.labels.size(); ++i)
      if (data.labels[i] < 0 || data.labels[i] >= static_cast<std::int64_t>(data.classes.size()))
        fail("label {} of image {}, but there are {} classes: damaged", data.labels[i], i, data.classes.size());
  }

  std::filesystem::path path_;
  std::shared_ptr<const MappedFile> file_;
  std::size_t header_end_ = 0;
};

/// Names of files and folders may be anything.
std::string as_json(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

}  // namespace

HostDataset read_packed(const std::filesystem::path& path) {
  return Reader(path).read();
}

void write_packed(const std::filesystem::path& path, const HostDataset& data) {
  const auto count = static_cast<std::size_t>(std::max<std::int64_t>(data.count, 0));
  const bool whole = count > 0 && data.sample.rank() == 3 &&
                     data.pixels.size() == count * static_cast<std::size_t>(data.sample.elements()) &&
                     (data.labels.empty() ? data.classes.empty() : data.labels.size() == count);
  const bool in_range = std::ranges::all_of(data.labels, [&](std::int32_t label) {
    return label >= 0 && label < static_cast<std::int64_t>(data.classes.size());
  });
  if (!whole || !in_range || data.pixels.size() == 0)
    throw ShapeError(fmt::format("{} images {} with {} bytes, {} labels and {} classes are no data set", data.count,
                                 data.sample.str(), data.pixels.size(), data.labels.size(), data.classes.size()));

  const auto make_header = [&](std::size_t labels_at, std::size_t pixels_at) {
    nlohmann::ordered_json header = {{"name", data.name},
                                     {"shape", {data.count, data.sample[0], data.sample[1], data.sample[2]}}};
    header["classes"] = data.classes;
    header["notes"] = data.notes;
    header["labels_offset"] = labels_at;
    header["pixels_offset"] = pixels_at;
    return as_json(header);
  };
  // Offsets are numbers of unknown length within the header: room for long ones, then spaces.
  constexpr std::size_t longest = 20;
  const std::size_t room = make_header(0, 0).size() + 2 * longest;
  const std::size_t labels_at = aligned(sizeof(Opening) + room),
                    label_bytes = sizeof(std::int32_t) * data.labels.size();
  const std::size_t pixels_at = aligned(labels_at + label_bytes);
  std::string header = make_header(data.labels.empty() ? 0 : labels_at, pixels_at);
  header.resize(labels_at - sizeof(Opening), ' ');

  Opening opening = {{}, version, static_cast<std::uint32_t>(header.size()), crc_of(header.data(), header.size()), 0};
  std::memcpy(opening.magic, magic.data(), magic.size());
  AtomicFile file(path);
  file.write(&opening, sizeof opening);
  file.write(header);
  file.write(data.labels.data(), label_bytes);
  file.write(std::string(pixels_at - labels_at - label_bytes, '\0'));
  file.write(data.pixels.data(), data.pixels.size());
  file.commit();
}

}  // namespace ganforge
