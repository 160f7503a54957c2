// Presets that have files of their own.
#pragma once

#include <ganforge/gan.h>

namespace ganforge {

Config cgan_28();
Config acgan_28();
Config infogan_28();

}  // namespace ganforge
