// NumPy's archives of arrays.
#pragma once

#include <ganforge/shape.h>

#include <filesystem>
#include <span>
#include <string>

namespace ganforge {

struct NpzArray {
  std::string name;  ///< what numpy.load(path)[…] is asked for
  Type type;
  const void* values;  ///< type.bytes() bytes
};
/// A ZIP file of NPY files, not compressed. The file appears whole or not at all. Throws FormatError if it cannot be
/// written, or is to be 4 GiB or larger.
void write_npz(const std::filesystem::path& path, std::span<const NpzArray> arrays);

}  // namespace ganforge
