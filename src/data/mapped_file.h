// A file as memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace ganforge {

/// A regular file mapped for reading. Its bytes may not change meanwhile: one that becomes shorter ends the program.
class MappedFile {
 public:
  /// Throws FormatError, with path and cause.
  static std::shared_ptr<const MappedFile> open(const std::filesystem::path& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::uint8_t> bytes() const { return bytes_; }

 private:
  explicit MappedFile(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
  std::span<const std::uint8_t> bytes_;
};

}  // namespace ganforge
