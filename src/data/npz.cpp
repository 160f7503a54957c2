// Format: PKWARE's APPNOTE.TXT 4.3; arrays as in npy.h.
#include "src/data/npz.h"

#include "src/data/atomic_file.h"
#include "src/data/npy.h"

#include <ganforge/error.h>

#include <fmt/format.h>
#include <zlib.h>

#include <cstdint>
#include <limits>
#include <vector>

namespace ganforge {
namespace {

/// Little-endian fields one after the other.
struct Record {
  std::string bytes;
  Record& u16(unsigned value) {
    bytes += static_cast<char>(value & 0xff);
    bytes += static_cast<char>(value >> 8 & 0xff);
    return *this;
  }
  Record& u32(std::uint64_t value) { return u16(value & 0xffff).u16(value >> 16 & 0xffff); }
};

struct Entry {
  std::string file, header;
  std::uint64_t crc = 0, size = 0, offset = 0;

  /// The fields that a local header and one of the directory share; 1980-01-01, so that equal arrays make equal files.
  Record fields() const {
    constexpr unsigned version = 20, stored = 0, midnight = 0, first_day = 1 << 5 | 1;
    return Record()
        .u16(version)
        .u16(0)
        .u16(stored)
        .u16(midnight)
        .u16(first_day)
        .u32(crc)
        .u32(size)
        .u32(size)
        .u16(static_cast<unsigned>(file.size()))
        .u16(0);
  }
};

}  // namespace

void write_npz(const std::filesystem::path& path, std::span<const NpzArray> arrays) {
  std::vector<Entry> entries;
  std::uint64_t total = 0;
  for (const NpzArray& array : arrays) {
    Entry entry{array.name + ".npy", npy_header(array.type)};
    const std::size_t bytes = array.type.bytes();
    entry.size = entry.header.size() + bytes;
    total += entry.size + 1000;
    if (total > std::numeric_limits<std::uint32_t>::max())
      throw FormatError(fmt::format("cannot write {}: it would take 4 GiB or more; make it in parts", path.string()));
    entry.crc = crc32_z(0, reinterpret_cast<const Bytef*>(entry.header.data()), entry.header.size());
    if (bytes > 0) entry.crc = crc32_z(entry.crc, static_cast<const Bytef*>(array.values), bytes);
    entries.push_back(std::move(entry));
  }

  AtomicFile file(path);
  std::uint64_t position = 0;
  const auto write = [&](std::string_view bytes) {
    file.write(bytes);
    position += bytes.size();
  };
  for (std::size_t i = 0; i < entries.size(); ++i) {
    Entry& entry = entries[i];
    entry.offset = position;
    write("PK\x03\x04" + entry.fields().bytes + entry.file);
    write(entry.header);
    file.write(arrays[i].values, arrays[i].type.bytes());
    position += arrays[i].type.bytes();
  }
  const std::uint64_t directory = position;
  for (const Entry& entry : entries) {
    constexpr unsigned made_by = 20;
    // Comment, disk, attributes: none.
    const Record rest = Record().u16(0).u16(0).u16(0).u32(0).u32(entry.offset);
    write("PK\x01\x02" + Record().u16(made_by).bytes + entry.fields().bytes + rest.bytes + entry.file);
  }
  const auto count = static_cast<unsigned>(entries.size());
  const Record end = Record().u16(0).u16(0).u16(count).u16(count).u32(position - directory).u32(directory).u16(0);
  write("PK\x05\x06" + end.bytes);
  file.commit();
}

}  // namespace ganforge
