// A NumPy array in memory.
#pragma once

#include <ganforge/data.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ganforge {

struct NpyView {
  std::string descr;  ///< NumPy's word for the type
  bool fortran = false;
  std::vector<std::int64_t> shape;
  std::span<const std::uint8_t> values;  ///< whatever follows the header
};
/// Throws FormatError, opened by `path`, if the header is damaged.
NpyView view_npy(std::span<const std::uint8_t> bytes, const std::string& path);

/// read_npy_images() of an array; `owner` keeps its values.
HostDataset npy_images(const NpyView& array, std::shared_ptr<const void> owner, const std::string& path);

}  // namespace ganforge
