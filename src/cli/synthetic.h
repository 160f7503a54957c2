// Trainers without a data set.
#pragma once

#include <ganforge/gan.h>

namespace ganforge {

/// Shape of a sample that the configuration's generator makes: [height, width, channels] for images.
Shape generated_sample(const Config& config);
/// Bytes from a fixed generator, in the size of the samples that the configuration's generator makes, with labels of the
/// configuration's classes, else of ten.
HostDataset synthetic_data(const Config& config, std::int64_t count);

}  // namespace ganforge
