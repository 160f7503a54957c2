// Looking at constants while a graph is built.
#pragma once

#include <ganforge/graph.h>

#include <optional>

namespace ganforge {

/// The number that every element of a `constant` has; nothing for other values.
std::optional<double> constant_number(Value value);

}  // namespace ganforge
