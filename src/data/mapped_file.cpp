#include "src/data/mapped_file.h"

#include <ganforge/error.h>

#include "src/data/byte_source.h"

#include <fmt/format.h>

#include <sys/mman.h>

#include <cerrno>
#include <system_error>

namespace ganforge {

std::shared_ptr<const MappedFile> MappedFile::open(const std::filesystem::path& path) {
  const InputFile file(path);
  const auto size = static_cast<std::size_t>(file.size());
  if (size == 0) throw FormatError(fmt::format("{}: the file is empty", path.string()));
  void* begin = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.descriptor(), 0);
  if (begin == MAP_FAILED)
    throw FormatError(fmt::format("cannot map {}: {}", path.string(), std::generic_category().message(errno)));
  return std::shared_ptr<const MappedFile>(new MappedFile({static_cast<const std::uint8_t*>(begin), size}));
}

MappedFile::~MappedFile() {
  ::munmap(const_cast<std::uint8_t*>(bytes_.data()), bytes_.size());
}

}  // namespace ganforge
