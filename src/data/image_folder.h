// Folders of image files.
#pragma once

#include <ganforge/data.h>

#include "src/data/decode.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace ganforge {

/// The image files of a folder, in byte order of their paths, class after class.
struct ImageFiles {
  std::filesystem::path folder;
  std::vector<std::filesystem::path> paths;
  std::vector<std::int32_t> labels;  ///< empty: the images lie in the folder itself
  std::vector<std::string> classes;
  std::vector<std::string> notes;  ///< what was passed over
};
/// No paths if there is no image. Throws FormatError if the folder cannot be read, or images lie in it and in its
/// sub-folders, or it holds the parts of a data set (train, test) and not classes.
ImageFiles list_images(const std::filesystem::path& folder);

/// Decodes one file after the other: use(index, image). Returns notes on conversions and on what was left out. Throws
/// FormatError, after the last file, if one could not be read, and with skip_bad if none could.
std::vector<std::string> decode_all(const ImageFiles& files, const DatasetOptions& options,
                                    const std::function<void(std::size_t index, Decoded decoded)>& use);

/// read_image_folder() of files that are listed.
HostDataset read_images(const ImageFiles& files, const DatasetOptions& options);

/// The last part of a folder's path.
std::string folder_name(const std::filesystem::path& folder);
/// "1 image", "12 images"
std::string counted(std::int64_t count, const char* what);

}  // namespace ganforge
