// The search for the first value of a program that is not finite.
#pragma once

#include <ganforge/program.h>

#include <optional>
#include <span>

namespace ganforge {

struct Traced {
  BadValue value;  ///< but for the element
  const void* memory;
};

/// The first of the variables, or of the computed values, with a NaN or an infinity. Waits for the device.
std::optional<BadValue> find_bad(Device& device, std::span<const Traced> values, bool variables);

}  // namespace ganforge
