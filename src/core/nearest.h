// "Did you mean …?"
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace ganforge {

/// The candidate with the fewest edits (insert, delete, replace, swap neighbours; case is free) from `word`, the first
/// of equals. Empty if none is within a third of the longer word's length.
std::string nearest(std::string_view word, std::span<const std::string> candidates);

}  // namespace ganforge
