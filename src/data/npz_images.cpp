// Format: PKWARE's APPNOTE.TXT 4.3. What is where stands in the directory at the file's end.
#include "src/data/npz_images.h"

#include "src/data/mapped_file.h"
#include "src/data/npy_view.h"

#include <ganforge/error.h>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>

namespace ganforge {
namespace {

using Span = std::span<const std::uint8_t>;

constexpr std::size_t local_bytes = 30, entry_bytes = 46, end_bytes = 22, longest_comment = 0xffff;
constexpr std::int64_t most_classes = 100'000;

struct Member {
  std::size_t method;
  std::size_t offset, stored, size;
  std::uint32_t crc;
};

class Zip {
 public:
  Zip(Span bytes, std::string path) : bytes_(bytes), path_(std::move(path)) {
    const std::size_t end = find_end();
    const std::size_t count = u16(end + 10);
    std::size_t at = u32(end + 16);
    for (std::size_t i = 0; i < count; ++i) {
      if (at > bytes_.size() || bytes_.size() - at < entry_bytes || u32(at) != 0x02014b50) damaged();
      const std::size_t name = u16(at + 28), more = u16(at + 30) + u16(at + 32);
      if (bytes_.size() - at - entry_bytes < name + more) damaged();
      const char* text = reinterpret_cast<const char*>(bytes_.data() + at + entry_bytes);
      members_[std::string(text, name)] = {u16(at + 10), u32(at + 42), u32(at + 20), u32(at + 24),
                                           static_cast<std::uint32_t>(u32(at + 16))};
      at += entry_bytes + name + more;
    }
  }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [name, member] : members_) names.push_back(name);
    return names;
  }

  /// The member's bytes: where they lie, or unpacked into `held`. Nothing if there is no such member.
  std::optional<Span> read(const std::string& name, std::vector<std::uint8_t>& held) const {
    const auto found = members_.find(name);
    if (found == members_.end()) return std::nullopt;
    const Member& m = found->second;
    if (m.offset > bytes_.size() || bytes_.size() - m.offset < local_bytes || u32(m.offset) != 0x04034b50) damaged();
    const std::size_t begin = m.offset + local_bytes + u16(m.offset + 26) + u16(m.offset + 28);
    if (begin > bytes_.size() || bytes_.size() - begin < m.stored) damaged();
    const Span stored = bytes_.subspan(begin, m.stored);
    Span content = stored;
    if (m.method == 8) {
      held = inflated(stored, m.size);
      content = held;
    } else if (m.method != 0 || m.stored != m.size) {
      damaged();
    }
    if (crc32_z(0, content.data(), content.size()) != m.crc)
      throw FormatError(fmt::format("{}: {} is damaged: its checksum is another", path_, name));
    return content;
  }

 private:
  [[noreturn]] void damaged() const {
    throw FormatError(fmt::format("{}: the archive is cut short or damaged", path_));
  }

  std::size_t u16(std::size_t at) const { return bytes_[at] | static_cast<std::size_t>(bytes_[at + 1]) << 8; }
  std::size_t u32(std::size_t at) const { return u16(at) | u16(at + 2) << 16; }

  std::size_t find_end() const {
    if (bytes_.size() < end_bytes) damaged();
    const std::size_t last = bytes_.size() - end_bytes, first = last > longest_comment ? last - longest_comment : 0;
    for (std::size_t at = last + 1; at-- > first;)
      if (u32(at) == 0x06054b50) return at;
    damaged();
  }

  std::vector<std::uint8_t> inflated(Span stored, std::size_t size) const {
    constexpr std::size_t densest = 1032;  // bytes out of one, by the format
    if (size / densest > stored.size()) damaged();
    std::vector<std::uint8_t> out(size);
    z_stream stream{};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK) throw FormatError(fmt::format("{}: zlib does not start", path_));
    stream.next_in = const_cast<Bytef*>(stored.data());
    stream.avail_in = static_cast<uInt>(stored.size());
    stream.next_out = out.data();
    stream.avail_out = static_cast<uInt>(size);
    const int result = inflate(&stream, Z_FINISH);
    const bool whole = result == Z_STREAM_END && stream.total_out == size;
    inflateEnd(&stream);
    if (!whole) damaged();
    return out;
  }

  Span bytes_;
  std::string path_;
  std::map<std::string, Member> members_;
};

template <class T>
std::vector<std::int64_t> numbers(Span values) {
  std::vector<std::int64_t> all(values.size() / sizeof(T));
  for (std::size_t i = 0; i < all.size(); ++i) {
    T value;
    std::memcpy(&value, values.data() + i * sizeof(T), sizeof(T));
    all[i] = static_cast<std::int64_t>(value);
  }
  return all;
}

std::vector<std::int64_t> whole_numbers(const NpyView& array, const std::string& path) {
  const std::string& d = array.descr;
  if (d == "|u1") return numbers<std::uint8_t>(array.values);
  if (d == "|i1") return numbers<std::int8_t>(array.values);
  if (d == "<i4") return numbers<std::int32_t>(array.values);
  if (d == "<i8") return numbers<std::int64_t>(array.values);
  throw FormatError(fmt::format("{}: labels of the type '{:.20}'; uint8, int8, int32 or int64 are read", path, d));
}

}  // namespace

HostDataset read_npz_images(const std::filesystem::path& file) {
  const std::string path = file.string();
  const auto mapped = MappedFile::open(file);
  const Zip zip(mapped->bytes(), path);
  for (const auto& [x, y] :
       {std::pair("x_train.npy", "y_train.npy"), {"x.npy", "y.npy"}, {"images.npy", "labels.npy"}}) {
    const auto held = std::make_shared<std::vector<std::uint8_t>>();
    const std::optional<Span> images = zip.read(x, *held);
    if (!images) continue;
    const std::shared_ptr<const void> owner = held->empty() ? std::shared_ptr<const void>(mapped) : held;
    HostDataset data = npy_images(view_npy(*images, path), owner, path);
    data.name = file.filename().string();
    data.format = "NPZ";
    std::vector<std::uint8_t> unpacked;
    const std::optional<Span> labels = zip.read(y, unpacked);
    if (!labels) return data;
    const NpyView array = view_npy(*labels, path);
    const std::vector<std::int64_t> values = whole_numbers(array, path);
    if (array.shape != std::vector<std::int64_t>{data.count} || std::ssize(values) != data.count)
      throw FormatError(fmt::format("{}: labels [{}] of {} images", path, fmt::join(array.shape, ", "), data.count));
    const auto [least, most] = std::ranges::minmax(values);
    if (least < 0 || most >= most_classes)
      throw FormatError(fmt::format("{}: a label is {}, they must be from 0 to {}", path, least < 0 ? least : most,
                                    most_classes - 1));
    data.labels.assign(values.begin(), values.end());
    for (std::int64_t c = 0; c <= most; ++c) data.classes.push_back(fmt::format("{}", c));
    return data;
  }
  throw FormatError(
      fmt::format("{}: no array x_train, x or images in it; there are {}", path, fmt::join(zip.names(), ", ")));
}

}  // namespace ganforge
