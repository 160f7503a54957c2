// A kernel that does nothing: what a launch costs.
#pragma once

#include <ganforge/stream.h>

namespace ganforge {

void empty(const CudaStream& stream);

}  // namespace ganforge
