// NumPy's array files.
#pragma once

#include <ganforge/shape.h>

#include <filesystem>
#include <string>

namespace ganforge {

/// What stands before the values in an NPY file, version 1.
std::string npy_header(const Type& type);
/// Writes `values`, type.bytes() bytes, as NPY version 1 for numpy.load. The file appears whole or not at all. Throws
/// FormatError if it cannot be written.
void write_npy(const std::filesystem::path& path, const Type& type, const void* values);

}  // namespace ganforge
