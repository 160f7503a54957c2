// Generated samples of every class, as a data set.
#pragma once

#include <ganforge/gan.h>

#include <filesystem>

namespace ganforge {

/// `per_class` samples of each of the model's classes. A path that ends in .npz: arrays x_train uint8 [n, height,
/// width] (with colour [n, height, width, 3]) and y_train int32 [n], as Keras' data sets have them. Else a folder that
/// is new or empty: one of PNG files for each class, its name that of the class. Throws FormatError, or ConfigError if
/// the samples are no images.
void write_labelled_set(const std::filesystem::path& path, Trainer& trainer, std::int64_t per_class,
                        std::uint64_t seed);

}  // namespace ganforge
