// Format: numpy.lib.format, version 1.0.
#include "src/data/npy.h"

#include "src/data/atomic_file.h"

#include <fmt/format.h>

#include <bit>
#include <string>

namespace ganforge {
namespace {

static_assert(std::endian::native == std::endian::little, "values are written as they lie in memory");

const char* descr(DType type) {
  switch (type) {
    case DType::float32:
      return "<f4";
    case DType::float64:
      return "<f8";
    case DType::uint8:
      return "|u1";
    case DType::int32:
      return "<i4";
    case DType::int64:
      return "<i8";
  }
  return "?";
}

}  // namespace

std::string npy_header(const Type& type) {
  std::string shape;
  for (std::int64_t extent : type.shape.extents()) shape += fmt::format("{}, ", extent);  // a tuple may end in a comma
  std::string dict =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", descr(type.dtype), shape);
  // Magic, version and length take 10 bytes; the data start on 64, behind a line feed.
  constexpr std::size_t opening = 10;
  dict.append(63 - (opening + dict.size()) % 64, ' ');
  dict += '\n';

  const char length[2] = {static_cast<char>(dict.size() & 0xff), static_cast<char>(dict.size() >> 8)};
  return std::string("\x93NUMPY\x01\x00", 8) + std::string(length, sizeof length) + dict;
}

void write_npy(const std::filesystem::path& path, const Type& type, const void* values) {
  AtomicFile file(path);
  file.write(npy_header(type));
  file.write(values, type.bytes());
  file.commit();
}

}  // namespace ganforge
