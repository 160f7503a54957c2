// Files that appear whole or not at all.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

namespace ganforge {

/// Collects bytes in a temporary file beside `path`; commit() puts it in the place of `path`. Whatever happens before
/// that, even a loss of power, leaves the old file as it was. Symbolic links are followed, the mode of an existing file
/// is kept, anything but a regular file is refused. Every failure is a FormatError with path and cause, and removes the
/// temporary file; so does destruction without commit().
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* bytes, std::size_t count);
  void write(std::string_view text) { write(text.data(), text.size()); }
  /// Flushes the file, renames it, flushes the folder.
  void commit();

 private:
  [[noreturn]] void fail(int error);
  bool discard();

  std::filesystem::path path_;       // as the caller names it
  std::filesystem::path target_;     // with links resolved
  std::filesystem::path temporary_;  // empty once renamed or removed
  int file_ = -1;
};

void write_atomically(const std::filesystem::path& path, std::string_view content);

}  // namespace ganforge
