// Reading files: plain bytes, or inflated on the way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <vector>

struct z_stream_s;

namespace ganforge {

/// A regular file open for reading. Every failure is a FormatError with its path.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  int descriptor() const { return file_; }
  /// The next bytes; fewer than asked only at the end.
  std::size_t read(void* to, std::size_t bytes);

 private:
  std::filesystem::path path_;
  std::uint64_t size_ = 0;
  int file_ = -1;
};

/// What a file holds, inflated if it starts as gzip does. Never holds more than a small buffer.
class ByteSource {
 public:
  explicit ByteSource(const std::filesystem::path& path);
  ~ByteSource();

  /// The next bytes; fewer than asked only at the end of the content. Throws FormatError for damaged or cut gzip data;
  /// at the end that includes a wrong checksum and anything that follows.
  std::size_t read(void* to, std::size_t bytes);

  bool gzip() const { return inflate_ != nullptr; }
  /// Bytes of content read so far.
  std::uint64_t offset() const { return offset_; }
  std::uint64_t file_size() const { return file_.size(); }
  /// False if a file of this size cannot possibly hold so much.
  bool can_hold(std::uint64_t bytes) const;

 private:
  bool refill();
  std::size_t inflate_some(std::uint8_t* to, std::size_t bytes);

  InputFile file_;
  std::vector<std::uint8_t> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // unread bytes of the buffer
  std::uint64_t offset_ = 0;
  std::uint64_t file_offset_ = 0;  // of the buffer's end
  bool member_done_ = false;       // a gzip file is one member or more
  std::unique_ptr<z_stream_s, int (*)(z_stream_s*)> inflate_;
};

}  // namespace ganforge
