#include "src/data/byte_source.h"

#include <ganforge/error.h>

#include <fmt/format.h>
#include <zlib.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace ganforge {
namespace {

constexpr std::size_t buffer_bytes = 1 << 16;
/// Deflate codes at most 258 bytes in 2 bits.
constexpr std::uint64_t max_inflation = 1032;

int end_inflate(z_stream_s* stream) {
  const int status = inflateEnd(stream);
  delete stream;
  return status;
}

[[noreturn]] void cannot_read(const std::filesystem::path& path, int error) {
  throw FormatError(fmt::format("cannot read {}: {}", path.string(), std::generic_category().message(error)));
}

}  // namespace

InputFile::InputFile(const std::filesystem::path& path) : path_(path) {
  file_ = ::open(path.c_str(),
                 O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe must be refused, not waited for
  if (file_ < 0) cannot_read(path, errno);
  struct stat status;
  const int error = ::fstat(file_, &status) == 0 ? 0 : errno;
  if (error == 0 && S_ISREG(status.st_mode)) {
    size_ = static_cast<std::uint64_t>(status.st_size);
    return;
  }
  ::close(file_);
  if (error != 0) cannot_read(path, error);
  const char* what = S_ISDIR(status.st_mode) ? "is a folder, expected a file" : "is not a regular file";
  throw FormatError(fmt::format("cannot read {}: it {}", path.string(), what));
}

InputFile::~InputFile() {
  ::close(file_);
}

std::size_t InputFile::read(void* to, std::size_t bytes) {
  std::size_t done = 0;
  while (done < bytes) {
    const ssize_t got = ::read(file_, static_cast<char*>(to) + done, bytes - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) cannot_read(path_, errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

ByteSource::ByteSource(const std::filesystem::path& path)
    : file_(path), buffer_(buffer_bytes), inflate_(nullptr, &end_inflate) {
  refill();
  if (end_ < 2 || buffer_[0] != 0x1f || buffer_[1] != 0x8b) return;
  auto stream = std::make_unique<z_stream>();
  constexpr int gzip_only = 16 + MAX_WBITS;
  if (inflateInit2(stream.get(), gzip_only) != Z_OK) throw Error("zlib: out of memory");
  inflate_.reset(stream.release());
}

ByteSource::~ByteSource() = default;

std::size_t ByteSource::read(void* to, std::size_t bytes) {
  std::uint8_t* out = static_cast<std::uint8_t*>(to);
  std::size_t done = 0;
  while (done < bytes) {
    std::size_t got = 0;
    if (gzip()) {
      got = inflate_some(out + done, bytes - done);
    } else if (begin_ < end_ || refill()) {
      got = std::min(bytes - done, end_ - begin_);
      std::memcpy(out + done, buffer_.data() + begin_, got);
      begin_ += got;
    }
    if (got == 0) break;
    done += got;
    offset_ += got;
  }
  return done;
}

bool ByteSource::can_hold(std::uint64_t bytes) const {
  return gzip() ? bytes / max_inflation <= file_.size() : bytes <= file_.size();
}

bool ByteSource::refill() {
  begin_ = 0;
  end_ = file_.read(buffer_.data(), buffer_.size());
  file_offset_ += end_;
  return end_ > 0;
}

// At least one byte, or zero at the end of the last member.
std::size_t ByteSource::inflate_some(std::uint8_t* to, std::size_t bytes) {
  constexpr std::size_t most = 1u << 30;  // zlib counts in 32 bits
  const std::size_t wanted = std::min(bytes, most);
  z_stream& stream = *inflate_;
  for (;;) {
    const bool at_end = begin_ == end_ && !refill();
    if (at_end && member_done_) return 0;
    if (at_end) {
      throw FormatError(fmt::format("{}: the gzip data are cut short at byte {}", file_.path().string(), file_offset_));
    }
    if (member_done_) inflateReset(&stream);
    stream.next_in = buffer_.data() + begin_;
    stream.avail_in = static_cast<uInt>(end_ - begin_);
    stream.next_out = to;
    stream.avail_out = static_cast<uInt>(wanted);
    const int status = inflate(&stream, Z_NO_FLUSH);
    begin_ = end_ - stream.avail_in;
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      const char* what = member_done_ ? "something that is not gzip follows the gzip data"
                         : stream.msg ? stream.msg
                                      : "invalid data";
      throw FormatError(fmt::format("{}: damaged gzip data before byte {}: {}", file_.path().string(),
                                    file_offset_ - stream.avail_in, what));
    }
    member_done_ = status == Z_STREAM_END;
    if (stream.avail_out < wanted) return wanted - stream.avail_out;
  }
}

}  // namespace ganforge
