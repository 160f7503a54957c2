// Where CIFAR-10 lies.
#pragma once

#include <filesystem>

namespace ganforge {

/// `folder` or its sub-folder cifar-10-batches-bin, whichever holds batches; empty if neither does.
std::filesystem::path cifar10_folder(const std::filesystem::path& folder);
/// True for names that end in .bin and whole records.
bool is_cifar10_file(const std::filesystem::path& path);

}  // namespace ganforge
