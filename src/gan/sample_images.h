// Generated samples as images.
#pragma once

#include <ganforge/gan.h>

#include <string>

namespace ganforge {

/// As they would be read back from a PNG: a value x becomes the byte round(255·(x − low)/(high − low)), clamped; NaN
/// becomes 0. No labels.
HostDataset to_images(const Samples& samples, const std::string& name);

}  // namespace ganforge
