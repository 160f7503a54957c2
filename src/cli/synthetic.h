// Trainers without a data set.
#pragma once

#include <ganforge/gan.h>

namespace ganforge {

/// Bytes from a fixed generator, in the size of the samples that the configuration's generator makes.
HostDataset synthetic_data(const Config& config, std::int64_t count);

}  // namespace ganforge
