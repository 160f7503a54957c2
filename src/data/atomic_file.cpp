#include "src/data/atomic_file.h"

#include <ganforge/error.h>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <system_error>

namespace ganforge {
namespace {

std::string cause(int error, const std::filesystem::path& folder) {
  std::string text = std::generic_category().message(error);
  if (error == ENOSPC || error == EDQUOT) text += "; free some space there or write to another disk";
  if (error == ENOENT) text += fmt::format("; is there a folder {}?", folder.string());
  if (error == EFBIG) text += "; see `ulimit -f`";
  return text;
}

std::filesystem::path folder_of(const std::filesystem::path& file) {
  return file.has_parent_path() ? file.parent_path() : std::filesystem::path(".");
}

}  // namespace

AtomicFile::AtomicFile(const std::filesystem::path& path) : path_(path), target_(path) {
  if (!path_.has_filename())
    throw FormatError(fmt::format("cannot write '{}': not the name of a file", path_.string()));
  struct stat old;
  const bool exists = ::stat(path_.c_str(), &old) == 0;
  if (!exists && errno != ENOENT) fail(errno);
  if (exists) {
    // Renaming over a device such as /dev/null would replace it.
    if (!S_ISREG(old.st_mode)) {
      const char* what = S_ISDIR(old.st_mode) ? "is a folder" : "is not a regular file";
      throw FormatError(fmt::format("cannot write {}: it {}", path_.string(), what));
    }
    std::error_code error;
    target_ = std::filesystem::canonical(path_, error);
    if (error) fail(error.value());
  }

  static std::atomic<unsigned> number{0};
  do {
    // Not made of the target's name, which may be as long as names can be.
    temporary_ = folder_of(target_) / fmt::format(".ganforge-{}-{}.tmp", ::getpid(), number++);
    file_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  } while (file_ < 0 && errno == EEXIST);
  if (file_ < 0) {
    const int error = errno;
    temporary_.clear();
    fail(error);
  }
  if (exists && ::fchmod(file_, old.st_mode & 0777) != 0) fail(errno);
}

AtomicFile::~AtomicFile() {
  discard();
}

void AtomicFile::write(const void* bytes, std::size_t count) {
  const char* from = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t written = ::write(file_, from, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(errno);
    from += written;
    count -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  if (::fsync(file_) != 0) fail(errno);
  const int closed = ::close(file_);
  file_ = -1;
  if (closed != 0) fail(errno);
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) fail(errno);
  temporary_.clear();

  const std::filesystem::path folder = folder_of(target_);
  const int directory = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // EINVAL: this file system cannot flush folders, so there is nothing to wait for.
  const bool flushed = directory >= 0 && (::fsync(directory) == 0 || errno == EINVAL);
  const int error = errno;
  if (directory >= 0) ::close(directory);
  if (!flushed) {
    throw FormatError(fmt::format("{} is written, but its folder could not be flushed to disk: {}", path_.string(),
                                  std::generic_category().message(error)));
  }
}

void AtomicFile::fail(int error) {
  std::string message = fmt::format("cannot write {}: {}", path_.string(), cause(error, folder_of(target_)));
  const std::string left_over = temporary_.string();
  if (!discard()) message += fmt::format("; {} could not be removed, delete it by hand", left_over);
  throw FormatError(message);
}

bool AtomicFile::discard() {
  if (file_ >= 0) ::close(file_);
  file_ = -1;
  const bool removed = temporary_.empty() || ::unlink(temporary_.c_str()) == 0;
  temporary_.clear();
  return removed;
}

void write_atomically(const std::filesystem::path& path, std::string_view content) {
  AtomicFile file(path);
  file.write(content);
  file.commit();
}

}  // namespace ganforge
