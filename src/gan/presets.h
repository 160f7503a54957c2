// Presets that have a file of their own.
#pragma once

#include <ganforge/gan.h>

namespace ganforge {

Config cgan_28();
Config acgan_28();
Config infogan_28();
Config r3gan_small();
Config r3gan_small_32();
Config r3gan_small_64();
Config sngan_32();

}  // namespace ganforge
