// What a training step will do.
#pragma once

#include <ganforge/gan.h>

#include <string>

namespace ganforge {

/// Both networks, the launches and copies of a step, on a GPU the least time for them, and its memory, as text.
std::string describe_step(Device& device, Trainer& trainer, const Dataset& data);

}  // namespace ganforge
