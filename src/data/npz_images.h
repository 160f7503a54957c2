// Images and labels in NumPy's archives.
#pragma once

#include <ganforge/data.h>

#include <filesystem>

namespace ganforge {

/// A .npz file, as numpy.savez, savez_compressed or `ganforge sample --per-class` write it: images as read_npy_images()
/// takes them under the name x_train, x or images, and whole numbers from 0 under y_train, y or labels. Classes are
/// named by their number. Throws FormatError with the path for anything else.
HostDataset read_npz_images(const std::filesystem::path& path);

}  // namespace ganforge
