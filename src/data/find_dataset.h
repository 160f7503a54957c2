// What find_dataset() would read.
#pragma once

#include "src/data/image_folder.h"

#include <optional>
#include <string>

namespace ganforge {

/// The files, if find_dataset() would read a folder of images.
std::optional<ImageFiles> image_files_at(const std::string& name_or_path);

/// Whether the data set has a part for testing of its own.
bool has_test_part(const std::string& name_or_path);

}  // namespace ganforge
