// Named tensors in a file: the safetensors format, with a checksum in its metadata.
#pragma once

#include <ganforge/shape.h>

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace ganforge {

using Metadata = std::map<std::string, std::string>;

struct TensorSource {
  std::string name;
  Type type;
  const void* values;  ///< host memory
};

/// Writes the tensors in this order, the first on 64 bytes. The file appears whole or not at all, and other programs
/// can read it. Its metadata gain `ganforge.checksum`: the CRC-32 (zlib's) of the whole file in 8 lower-case
/// hexadecimal digits, computed with zeros in their place. Throws FormatError if it cannot be written or names repeat.
void write_safetensors(const std::filesystem::path& path, std::span<const TensorSource> tensors,
                       const Metadata& metadata);

/// A file in memory.
struct Safetensors {
  struct Tensor {
    std::string name;
    Type type;
    std::size_t offset;  ///< in `bytes`; aligned to the element only if the file's writer saw to it
  };
  std::vector<Tensor> tensors;  ///< in order of offset
  Metadata metadata;            ///< without the checksum
  std::vector<std::byte> bytes;

  /// Null if there is none.
  const Tensor* find(const std::string& name) const;
  const std::byte* data(const Tensor& tensor) const { return bytes.data() + tensor.offset; }
};

/// Files of other programs have no checksum; one that is there is verified in either case.
enum class Checksum { required, optional };

/// Throws FormatError, with path and reason, unless the file is whole and means something. With a required checksum
/// that includes every file that differs in one bit from what was written.
Safetensors read_safetensors(const std::filesystem::path& path, Checksum checksum = Checksum::required);

}  // namespace ganforge
