// Presets that have a file of their own.
#pragma once

#include <ganforge/gan.h>

namespace ganforge {

Config r3gan_small();
Config r3gan_small_32();
Config r3gan_small_64();

}  // namespace ganforge
